"""Choosing the next token from the model's scores."""

import torch
from torch import Tensor

__all__ = ["draw", "min_p", "repetition_penalty", "top_k", "top_p"]


def repetition_penalty(logits: Tensor, previous: Tensor, penalty: float) -> Tensor:
    """Make tokens that were there before less likely.

    A positive score is divided by the penalty, a negative one multiplied by it, once for each
    different token, however often it occurred.

    Args:
        logits: shape (V,), not changed.
        previous: token ids seen so far, shape (N,), int64, N may be 0.
        penalty: above 1 discourages repetition, 1 changes nothing, below 1 encourages it.

    Returns:
        Shape (V,), in the dtype of ``logits``.

    Raises:
        ValueError: penalty is not positive.

    Source: Keskar et al. 2019, "CTRL", section 4.1.
    """
    if penalty <= 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
    seen = previous.unique()
    scores = logits[seen]
    penalised = logits.clone()
    penalised[seen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    return penalised


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k highest scores and set the others to minus infinity.

    Scores equal to the k-th highest are all kept, so that the result does not depend on order.

    Args:
        logits: shape (V,), not changed; may hold minus infinities.
        k: how many to keep; k >= V keeps all.

    Returns:
        Shape (V,), in the dtype of ``logits``: the scores kept, minus infinity elsewhere.

    Raises:
        ValueError: k is less than 1.

    Source: Fan et al. 2018, "Hierarchical neural story generation", section 5.4.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    lowest_kept = logits.topk(min(k, logits.shape[0])).values[-1]
    return logits.masked_fill(logits < lowest_kept, float("-inf"))


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most likely tokens whose probabilities add up to at least p (the nucleus).

    The most likely token is always kept. Tokens as likely as the last one kept are kept too.

    Args:
        logits: shape (V,), float32 or float64, not changed; may hold minus infinities.
        p: above 0, at most 1; 1 keeps all.

    Returns:
        Shape (V,), in the dtype of ``logits``: the scores kept, minus infinity elsewhere.

    Raises:
        ValueError: p is not in (0, 1].

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p must be above 0 and at most 1, got {p}")
    if p == 1:
        return logits.clone()
    probabilities = torch.softmax(logits, dim=0)
    # Sorting the whole vocabulary costs more than the rest of the step together, and the nucleus
    # is nearly always among the first few.
    for candidates in (256, logits.shape[0]):
        highest = probabilities.topk(min(candidates, logits.shape[0])).values
        mass = highest.cumsum(0)
        if mass[-1] >= p:
            break
    # The first place where the mass reaches p; rounding may leave the whole mass just below it.
    last = min(int((mass < p).sum()), highest.shape[0] - 1)
    return logits.masked_fill(probabilities < highest[last], float("-inf"))


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens at least p times as likely as the most likely one.

    Args:
        logits: shape (V,), float32 or float64, not changed; may hold minus infinities.
        p: from 0, which keeps all, to 1, which keeps the most likely.

    Returns:
        Shape (V,), in the dtype of ``logits``: the scores kept, minus infinity elsewhere.

    Raises:
        ValueError: p is not in [0, 1].

    Source: Nguyen et al. 2024, "Turning up the heat: min-p sampling", section 3, algorithm 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, got {p}")
    probabilities = torch.softmax(logits, dim=0)
    return logits.masked_fill(probabilities < p * probabilities.max(), float("-inf"))


def draw(logits: Tensor, generator: torch.Generator) -> int:
    """Draw a token with the probabilities ``softmax(logits)``, by inverting their sum.

    With one uniform number u in [0, 1) from ``torch.rand(1, dtype=torch.float64,
    generator=generator)``, the token is the first whose cumulative probability exceeds u times
    the total. The softmax is taken in float64 and added up in float64, in the order of the ids,
    so a seed gives the same text with every correct implementation.

    Args:
        logits: shape (V,), any floating dtype, not changed; minus infinity is never drawn.
        generator: on the CPU; its state moves on by the one number drawn.

    Returns:
        A token id, 0 <= id < V.

    Source: Devroye 1986, "Non-uniform random variate generation", section III.2.
    """
    u = torch.rand(1, dtype=torch.float64, generator=generator)
    mass = torch.softmax(logits.double().cpu(), dim=0).cumsum(0)
    return int(torch.searchsorted(mass, u * mass[-1], right=True).clamp(max=len(mass) - 1))
