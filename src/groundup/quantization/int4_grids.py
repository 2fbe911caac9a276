"""Levels of 4 bits that need no minimum of their own: what other formats store."""

import torch
from torch import Tensor

from groundup.quantization.grouped_int4 import LEVELS
from groundup.quantization.in_float16 import in_float16

__all__ = ["symmetric_grid", "zero_point_grid"]

MIDDLE = 8  # the level that is zero in a symmetric grid
SMALLEST = 1e-7  # a scale; float16 has none below 6e-8


def symmetric_grid(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Levels from -8 to 7 times the scale: GGML's Q4_0.

    Zero is level 8. There is one level more below it than above, so the scale's sign is chosen such
    that the largest magnitude lies on that side: it becomes level 0 exactly.

    Args:
        groups: (..., group) float32.

    Returns:
        scale, minimum: (...) float32. The scale, of values that float16 has, may be negative; the
        minimum is -8 times it.

    Source: GGML, ``quantize_row_q4_0_ref``.
    """
    at = groups.abs().argmax(-1, keepdim=True)
    scale = groups.gather(-1, at)[..., 0] / -MIDDLE
    scale = in_float16(torch.where(scale.abs() < SMALLEST, SMALLEST, scale))
    return scale, -MIDDLE * scale


def zero_point_grid(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Levels ``scale * (q - zero)``, where zero is a level itself: GPTQ's and AWQ's files.

    The range is widened to hold zero, and moved by less than a level so that zero lies on one.

    Args:
        groups: (..., group) float32.

    Returns:
        scale, minimum: (...) float32. The scale is positive and of values that float16 has; the
        minimum is a whole number of -15 to 0 times it, exactly.

    Source: Jacob et al. 2017, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", section 2.1.
    """
    low, high = groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)
    scale = in_float16(((high - low) / LEVELS).clamp_min(SMALLEST))
    zero = (-low / scale).round().clamp(0, LEVELS)
    return scale, -zero * scale
