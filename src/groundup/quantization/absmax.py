"""Integers of 8 bits with a scale for each row: the largest of a row becomes 127."""

import torch
from torch import Tensor

__all__ = ["absmax_quantize"]

SMALLEST = 1e-30  # a scale; rows of zeros have one too


def absmax_quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest ``q * scale`` to each row of ``x``, with q whole and of -127 to 127.

    A row's scale is its largest magnitude divided by 127, and `SMALLEST` for a row of zeros. No
    value is clipped, and zero stays zero: the range is symmetric, and -128 is not used.

    Args:
        x: (..., C), float. What is narrower than float32 is widened first.

    Returns:
        q (..., C) int8, and scale (..., 1) float32. ``q * scale`` is off by half a scale at most.

    Raises:
        ValueError: x holds NaN or infinity.

    Source: Dettmers et al. 2022, "LLM.int8()", section 2 (absmax quantisation), by rows as in 3.1
    (vector-wise quantisation).
    """
    x = x.float()
    largest = x.abs().amax(-1, keepdim=True)
    if not largest.isfinite().all():
        raise ValueError("cannot quantise NaN or infinity: look for the layer that made it")
    scale = (largest / 127).clamp_min(SMALLEST)
    return (x / scale).round().to(torch.int8), scale
