"""SmoothQuant: the inputs' large columns are made small, and the weights that meet them large."""

import torch
from torch import Tensor

__all__ = ["smoothing_scale"]

STRENGTH = 0.5
SMALLEST = 1e-5


def smoothing_scale(
    largest_input: Tensor, weights: list[Tensor], strength: float = STRENGTH
) -> Tensor:
    """What to divide each column of the inputs by, and multiply the weights' columns with.

    The product stays as it is: ``(x / s) @ (W * s).T``. A column whose values are tens of times the
    others' would take all of a row's 8 bits; half of its size (by the logarithm) moves to the
    weights, which are easy to quantise. The division costs nothing where a norm before the layer
    multiplies by weights of its own: they take it up.

    Args:
        largest_input: (K,), of the magnitudes of each column, over calibration text.
        weights: (M, K) each, all that read this input.
        strength: 0 leaves the inputs as they are, 1 moves all to the weights.

    Returns:
        s (K,), positive. Columns that were always zero have 1.

    Raises:
        ValueError: strength is not of 0 to 1, or the shapes do not fit.

    Source: Xiao et al. 2022, "SmoothQuant", section 4, equation 4.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is of 0 to 1, got {strength}")
    if any(weight.shape[1:] != largest_input.shape for weight in weights) or not weights:
        shapes = [tuple(weight.shape) for weight in weights]
        raise ValueError(f"the weights read {len(largest_input)} columns, got shapes {shapes}")
    largest_weight = torch.stack([weight.abs().amax(0) for weight in weights]).amax(0).float()
    inputs, outputs = largest_input.float(), largest_weight.clamp_min(SMALLEST)
    scale = inputs.clamp_min(SMALLEST) ** strength / outputs ** (1 - strength)
    return torch.where(inputs > 0, scale, 1)
