"""Beam search: the likeliest texts, sought with several unfinished ones side by side."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Hypothesis", "beam_search"]

Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, order=True)
class Hypothesis:
    """A text that was found. Of two, the one with the higher score is the greater."""

    score: float  # the sum of its tokens' log-probabilities, over length ** length_penalty
    tokens: tuple[int, ...]  # with the end token, if it has one; without the start token


@torch.inference_mode()
def beam_search(
    step: Step,
    *,
    start_id: int,
    eos_id: int,
    beams: int,
    max_tokens: int,
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """Keep the ``beams`` likeliest unfinished texts, lengthen each by every token, and repeat.

    At first there is one text, the start token. Of all lengthened texts, the ``2 * beams`` with
    the highest sums of log-probabilities are looked at, in their order. One that ends with the end
    token, or that has ``max_tokens`` tokens, is finished: it is kept if it is among the first
    ``beams``, and dropped otherwise. Of the others, the first ``beams`` go on. Of the finished
    texts the ``beams`` with the best scores are kept; the score is the sum divided by
    ``length ** length_penalty``, where the length counts the end token and not the start token.

    The search ends at ``max_tokens``, or when ``beams`` texts are finished and the best unfinished
    one, if it ended now (its sum over its present length ** length_penalty), would not score more
    than the worst of them.

    Args:
        step: called with ``tokens`` and ``parents``, int64, each of shape (beams,): the last token
            of each unfinished text, and which row of the call before it continues. Returns the
            log-probabilities of the next token, shape (beams, V), V at least 2. At first every row
            is the start token, and row n continues row n. Rows beyond the texts that there are mean
            nothing.
        start_id: the token that a text begins with.
        eos_id: the token that ends one.
        beams: how many, positive.
        max_tokens: the most tokens of a text, positive.
        length_penalty: 0 compares sums, which favours short texts; 1 compares means; more favours
            long texts.

    Returns:
        At most ``beams`` finished texts, the best first.

    Raises:
        ValueError: beams or max_tokens is not positive.

    Source: Wu et al. 2016, "Google's neural machine translation system", section 7, with a power of
    the length as the penalty.
    """
    if beams <= 0 or max_tokens <= 0:
        raise ValueError(f"beams and max_tokens must be positive, got {beams} and {max_tokens}")
    texts: list[tuple[int, ...]] = [()] * beams
    sums = torch.full((beams,), -torch.inf)
    sums[0] = 0.0  # the other rows are not texts yet
    tokens, parents = torch.full((beams,), start_id), torch.arange(beams)
    finished: list[Hypothesis] = []
    for length in range(1, max_tokens + 1):
        log_probs = step(tokens, parents).cpu().float()  # (beams, V)
        V = log_probs.shape[1]
        totals, flat = (sums[:, None] + log_probs).flatten().topk(2 * beams)
        going_on: list[tuple[float, int, int]] = []  # its sum, its parent's row, its last token
        for rank, (total, index) in enumerate(zip(totals.tolist(), flat.tolist(), strict=True)):
            parent, token = divmod(index, V)
            if total == -torch.inf:
                continue
            if token != eos_id and length < max_tokens:
                going_on.append((total, parent, token))
            elif rank < beams:
                score = total / length**length_penalty
                finished.append(Hypothesis(score, (*texts[parent], token)))
        finished = heapq.nlargest(beams, finished)
        going_on = going_on[:beams]
        if not going_on:
            break
        best = going_on[0][0] / length**length_penalty
        if len(finished) == beams and best <= finished[-1].score:
            break
        missing = beams - len(going_on)
        padded = going_on + [(-torch.inf, going_on[0][1], eos_id)] * missing
        texts = [(*texts[parent], token) for _, parent, token in padded]
        sums = torch.tensor([total for total, _, _ in padded])
        parents = torch.tensor([parent for _, parent, _ in padded])
        tokens = torch.tensor([token for _, _, token in padded])
    return finished
