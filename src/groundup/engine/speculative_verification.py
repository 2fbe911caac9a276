"""Speculative decoding's rule: which drafted tokens stand, and which token comes after them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from groundup.engine.sampling import draw

__all__ = ["verify_choices", "verify_samples"]


def verify_choices(choices: Iterable[int], draft: Sequence[int]) -> list[int]:
    """Let a draft stand as far as it is what the target chooses by itself.

    For a target that is greedy, and for any draft that comes without probabilities, such as one
    copied from the prompt. The target chooses at each place as if nothing were drafted, greedily
    or by a draw, so the text is the one that it would have written alone. A drafted token x is
    accepted with its probability p(x), and what stands in its place otherwise has p without x.

    Args:
        choices: what the target chooses after the text, after the text and ``draft[0]``, and so on:
            ``len(draft) + 1`` ids, one for each place where a draft ends. A choice behind a token
            that was rejected is one in a text that does not exist: it is not taken from the
            iterable, so it need not be made.
        draft: the drafted ids; may be empty.

    Returns:
        The drafted ids accepted, and then the target's choice behind them: 1 to
        ``len(draft) + 1`` ids.

    Raises:
        ValueError: there are too few choices to decide.

    Source: Leviathan et al. 2023, "Fast inference from transformers via speculative decoding",
    section 2.3, where the draft's distribution is certain of one token.
    """
    chosen: list[int] = []
    for place, choice in enumerate(choices):
        chosen.append(choice)
        if place == len(draft) or choice != draft[place]:
            return chosen
    raise ValueError(
        f"a draft of {len(draft)} tokens needs {len(draft) + 1} choices, got {len(chosen)}"
    )


def verify_samples(
    scores: Iterable[Tensor],
    draft: Sequence[int],
    draft_scores: Tensor,
    generator: torch.Generator,
) -> list[int]:
    """Let drawn tokens stand so often that the text has exactly the target's distribution.

    With p the target's distribution at a place, and q the one from which the draft's token x was
    drawn, x is accepted with probability min(1, p(x) / q(x)). Where it is not, a token drawn from
    the positive part of p - q, normalised, takes its place, and the rest of the draft is dropped.
    Behind a draft that stands whole, one more token is drawn from p. Distributions are taken in
    float64, so that their difference is not the rounding's.

    Args:
        scores: the target's, of which softmax is p: after the text, after the text and
            ``draft[0]``, and so on; ``len(draft) + 1`` tensors of shape (V,), any floating dtype,
            not changed; minus infinity is a probability of 0. Those behind a token that was
            rejected are of a text that does not exist: they are not taken from the iterable, so
            they need not be computed.
        draft: the drafted ids; may be empty.
        draft_scores: shape (len(draft), V), any floating dtype, not changed: the softmax of each
            row is the q that the drafted id of its place was drawn from. A row that is 0 for one
            id and minus infinity elsewhere is a draft that is certain.
        generator: the only source of chance, on the CPU. For each drafted id that is looked at it
            gives a uniform number, and `groundup.engine.sampling.draw` takes another for the last
            id returned, if that was not drafted.

    Returns:
        The drafted ids accepted, and then the one drawn in the place of the first that was not, or
        behind them all: 1 to ``len(draft) + 1`` ids.

    Raises:
        ValueError: there are not as many ``draft_scores`` as drafted ids; a drafted id has q = 0,
            and so was not drawn from it; there are too few ``scores`` to decide.

    Source: Leviathan et al. 2023, "Fast inference from transformers via speculative decoding",
    algorithm 1; Chen et al. 2023, "Accelerating large language model decoding with speculative
    sampling", theorem 1.
    """
    if len(draft_scores) != len(draft):
        raise ValueError(f"{len(draft)} drafted tokens have {len(draft_scores)} draft_scores")
    chosen: list[int] = []
    for place, row in enumerate(scores):
        if place == len(draft):
            return [*chosen, draw(row, generator)]
        token = draft[place]
        p, q = (torch.softmax(s.double().cpu(), dim=0) for s in (row, draft_scores[place]))
        if q[token] == 0:
            raise ValueError(f"token {token} was drafted, and its draft_scores give it no chance")
        u = torch.rand(1, dtype=torch.float64, generator=generator)
        if u * q[token] >= p[token]:
            # The logarithm of a probability is a score that softmax turns into it again.
            return [*chosen, draw((p - q).clamp(min=0).log(), generator)]
        chosen.append(token)
    raise ValueError(
        f"a draft of {len(draft)} tokens needs {len(draft) + 1} scores, got {len(chosen)}"
    )
