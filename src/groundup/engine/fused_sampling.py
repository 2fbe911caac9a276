"""Choosing a token in one pass over the scores: what `groundup.engine.sampling` says, compiled.

In torch, a softmax, a sort and a sum over 49,152 tokens take longer than reading them several times
over. Here the sorting is left to the few tokens that could be among those kept.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundup.engine.cpu_kernels import (
    highest_ordered,
    largest_magnitude,
    ordered,
)
from groundup.engine.sampling_params import SamplingParams
from groundup.models.compiled_floats import exponential

__all__ = ["sample"]

PIECE = 256  # scores whose highest, and whose sum, are known together
# All of "fast" but "ninf": scores may be minus infinity, and such a token is never drawn.
ALLOWED = {"reassoc", "nsz", "arcp", "contract", "afn", "nnan"}


def sample(scores: NDArray[np.float32], params: SamplingParams, u: float) -> int:
    """The token that `Sampler` draws from these scores with the random number ``u``.

    Penalties and bias of ``params`` are not looked at. Sums are of float32, so where ``u`` falls
    within about 1e-6 of the border between two tokens, the neighbour may be drawn.

    Args:
        scores: (V,), not changed; may hold minus infinities.
        params: temperature above 0, top-k, top-p and min-p.
        u: from 0 to 1.
    """
    p = params
    return int(_sample(scores, p.temperature, p.top_k, p.top_p, p.min_p, u))


@njit(fastmath=ALLOWED, cache=True, nogil=True)
def _sample(scores: Any, temperature: Any, top_k: Any, top_p: Any, min_p: Any, u: Any) -> Any:
    V = scores.shape[0]
    pieces = (V + PIECE - 1) // PIECE
    highest = ordered(highest_ordered(scores.view(np.int32))).view(np.float32)
    # Weights relative to the highest, which has 1: exp((score - highest) / temperature).
    weights = np.empty(V, np.float32)
    sums = np.empty(pieces, np.float64)
    best = np.empty(pieces, np.float32)
    sharpness = np.float32(1 / temperature)
    total = 0.0
    for piece in range(pieces):
        start, stop = piece * PIECE, min((piece + 1) * PIECE, V)
        mass: Any = np.float32(0)
        for t in range(start, stop):
            power = (scores[t] - highest) * sharpness
            weight = exponential(power)
            weight = weight if power > np.float32(-80) else np.float32(0)
            weights[t] = weight
            mass += weight
        sums[piece], best[piece] = mass, largest_magnitude(weights[start:stop])
        total += mass
    if top_k == 0 and top_p >= 1 and min_p == 0:
        left = u * total
        for piece in range(pieces):
            if left < sums[piece]:
                break
            left -= sums[piece]
        return _draw(weights[piece * PIECE : min((piece + 1) * PIECE, V)], left) + piece * PIECE

    # Ever more of the likeliest tokens, in the order of their ids, until all that are kept are
    # among them.
    cut = np.float32(1 / 64)
    ids = np.empty(V, np.int64)
    while True:
        count, mass_above = 0, 0.0
        for piece in range(pieces):
            if best[piece] >= cut:
                for t in range(piece * PIECE, min((piece + 1) * PIECE, V)):
                    if weights[t] >= cut:
                        ids[count] = t
                        count += 1
                        mass_above += weights[t]
        if cut < np.float32(1e-34):
            break
        # Without top-k the nucleus is a share of everything; with it, of those k alone.
        if (
            (top_k == 0 or count >= min(top_k, V))
            and (top_k > 0 or top_p >= 1 or mass_above >= top_p * total)
            and (top_k > 0 or top_p < 1 or cut <= min_p)
        ):
            break
        cut *= np.float32(1 / 64)
    candidates = weights[ids[:count]]
    ranked = np.sort(candidates)[::-1]
    floor: Any = np.float32(0)
    if 0 < top_k < count:
        floor = ranked[top_k - 1]  # those equal to the k-th are kept too
    if top_p < 1:
        kept = total if top_k == 0 else 0.0
        if top_k > 0:
            for weight in ranked:
                if weight < floor:
                    break
                kept += weight
        mass = 0.0
        for weight in ranked:
            mass += weight
            if mass >= top_p * kept or weight < floor:
                floor = max(floor, weight)
                break
    floor = max(floor, np.float32(min_p))
    mass = 0.0
    for i in range(count):
        if candidates[i] < floor:
            candidates[i] = np.float32(0)
        mass += candidates[i]
    return ids[_draw(candidates, u * mass)]


@njit(cache=True, inline="always")
def _draw(weights: Any, left: Any) -> Any:
    """The first index at which the sum of the weights exceeds ``left``; of those above 0."""
    chosen = 0
    for t in range(weights.shape[0]):
        if weights[t] > 0:
            chosen = t
            left -= weights[t]
            if left < 0:
                break
    return chosen
