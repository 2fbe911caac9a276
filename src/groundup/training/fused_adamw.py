"""AdamW's update of a parameter on a CPU as one loop, which reads and writes each number once."""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from groundup.models.compiled_floats import LEAST

__all__ = ["adamw_update", "has_loop"]


def has_loop(parameters: list[Tensor]) -> bool:
    """Whether `adamw_update` serves: float32 on a CPU, whole in memory, and not a few numbers."""
    return sum(p.numel() for p in parameters) >= LEAST and all(
        type(p.detach()) is Tensor  # not a share of one, as FSDP has
        and p.device.type == "cpu"
        and p.dtype == torch.float32
        and p.is_contiguous()
        for p in parameters
    )


def adamw_update(
    parameter: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    betas: tuple[float, float],
    kept: float,
    size: float,
    eps: float,
) -> None:
    """Move both moments, and the parameter by ``-size * first / (sqrt(second) + eps)``.

    In torch these are nine passes, each over all of the parameters, and they wait for memory.

    Args:
        parameter, gradient, first, second: of one shape, float32; all but the gradient change.
        betas: of the moments.
        kept: what the parameter is multiplied by before, for its decay.
        size, eps: the learning rate and eps, with the corrections of the moments' bias in them.
    """
    arrays = (x.detach().reshape(-1).numpy() for x in (parameter, gradient, first, second))
    _update(*arrays, *map(np.float32, (1 - betas[0], 1 - betas[1], kept, size, eps)))


@njit(fastmath=True, error_model="numpy", cache=True)
def _update(
    w: Any, g: Any, m: Any, v: Any, new1: Any, new2: Any, kept: Any, size: Any, eps: Any
) -> None:
    for i in range(w.shape[0]):  # 1 - beta is rounded once: of 0.999 little would be left
        m[i] += new1 * (g[i] - m[i])
        v[i] += new2 * (g[i] * g[i] - v[i])
        w[i] = kept * w[i] - size * m[i] / (np.sqrt(v[i]) + eps)
