"""GPTQ: what rounding one weight costs, the weights that are not rounded yet make good."""

import torch
from torch import Tensor

from groundup.quantization.grouped_int4 import (
    GROUP,
    Grid,
    GroupedInt4,
    grid,
    grouped,
    round_to_grid,
)

__all__ = ["gptq", "inverse_factor"]

DAMPING = 0.01  # of the Hessian's mean diagonal, added to it
BLOCK = 128  # columns whose updates are put off to one product


def gptq(
    weight: Tensor,
    hessian: Tensor,
    *,
    group: int = GROUP,
    damping: float = DAMPING,
    grid: Grid = grid,
) -> GroupedInt4:
    """Quantise a weight so that its outputs change little, not each weight by itself.

    The outputs' squared error is ``trace(E H E.T)`` for an error E of the weight, where H is the
    sum of ``x x.T`` over inputs x. Columns are rounded one after another, those of the largest
    inputs first (H's diagonal; of equals the left one), while many others are left that can make
    good what they lose. By a column's rounding error e, the columns after it are changed by
    ``-e / U[i, i] * U[i, i:]``, where U is the upper triangle of Cholesky's decomposition of the
    inverse of H, its rows and columns in that order: the change that makes the outputs' error
    least.

    All groups' levels are chosen beforehand, from the weights as they came: a group's columns may
    have any places in the order.

    Args:
        weight: (M, K).
        hessian: (K, K), as `Calibration` sums it. Inputs that were always zero have zeros there;
            their weights do not matter, and become zero.
        group: columns that share a scale.
        damping: share of the mean diagonal that is added to it: inputs that depend on each other
            have no inverse.
        grid: chooses a group's levels.

    Returns:
        The quantised weight.

    Raises:
        ValueError: the shapes do not fit; K is not a multiple of the group; the Hessian holds NaN,
            or is not one even when damped (then more calibration text, or more damping, helps).

    Source: Frantar et al. 2022, "GPTQ", algorithm 1 and equations 2 and 3; the order and the levels
    chosen beforehand are the authors' later options ``act-order`` and ``static-groups``.
    """
    M, K = weight.shape
    if hessian.shape != (K, K):
        raise ValueError(f"the Hessian of a weight {(M, K)} is {(K, K)}, got {(*hessian.shape,)}")
    w = weight.float().clone()
    unused = hessian.diagonal() == 0
    w[:, unused] = 0
    scales, minima = grid(grouped(w, group))
    order = hessian.diagonal().argsort(descending=True, stable=True)
    upper = inverse_factor(hessian[order][:, order], unused[order], damping)
    w = w[:, order]
    scale, minimum = (x.repeat_interleave(group, 1)[:, order] for x in (scales, minima))
    q = torch.empty(M, K, dtype=torch.uint8)
    for start in range(0, K, BLOCK):
        stop = min(start + BLOCK, K)
        errors = torch.empty(M, stop - start)
        for i in range(start, stop):
            level = round_to_grid(w[:, i], scale[:, i], minimum[:, i])
            error = (w[:, i] - (level * scale[:, i] + minimum[:, i])) / upper[i, i]
            w[:, i:stop] -= error[:, None] * upper[i, i:stop]
            errors[:, i - start] = error
            q[:, order[i]] = level
        w[:, stop:] -= errors @ upper[start:stop, stop:]
    return GroupedInt4(q, scales, minima)


def inverse_factor(hessian: Tensor, unused: Tensor, damping: float) -> Tensor:
    """U (K, K), upper triangular, with ``U.T @ U`` the inverse of the damped Hessian.

    Args:
        hessian: (K, K).
        unused: (K,) bool, where its diagonal is zero; there it becomes one.
        damping: share of the mean diagonal that is then added to it.

    Returns:
        float32, computed in float64.

    Raises:
        ValueError: as `gptq`, where there is no such U.
    """
    h = hessian.double().clone()
    h.diagonal()[unused] = 1
    h.diagonal().add_(damping * h.diagonal().mean())
    lower, failed = torch.linalg.cholesky_ex(h)
    if failed or not lower.isfinite().all():
        raise ValueError(
            "the Hessian has no Cholesky decomposition: calibrate on more text, or raise damping "
            f"(it is {damping})"
        )
    upper: Tensor = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    return upper.float()
