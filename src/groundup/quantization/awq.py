"""AWQ: the weights that meet large inputs are quantised more finely than the others."""

import torch
from torch import Tensor

from groundup.quantization.grouped_int4 import GROUP, Grid, GroupedInt4, grid

__all__ = ["awq_scale"]

STEPS = 20


def awq_scale(
    inputs: Tensor, weights: list[Tensor], *, group: int = GROUP, grid: Grid = grid
) -> Tensor:
    """What to multiply the weights' columns with before they are rounded, and divide the inputs by.

    A weight's rounding error is multiplied by its input, and a few inputs are far larger than the
    rest. Multiplied by s > 1, a column's weights lose less in proportion, until they stretch their
    group's scale. The columns' s is their inputs' mean magnitude (1e-4 at least) to a power p,
    divided by the root of its largest times its smallest. Of the `STEPS` powers 0, 0.05, ... 0.95,
    the one that changes the outputs least is found by trying: by the sum over the weights of the
    mean squared difference of ``x @ weight.T``, of several equals the smallest.

    Args:
        inputs: (N, K), rows of calibration text.
        weights: (M, K) each, all that read these inputs.
        group: columns that share a scale.
        grid: chooses a group's levels.

    Returns:
        s (K,) float32, positive: 1 where nothing was better.

    Raises:
        ValueError: the shapes do not fit, or K is not a multiple of the group.

    Source: Lin et al. 2023, "AWQ", section 3.2, equations 4 and 5.
    """
    if inputs.ndim != 2 or not weights or any(w.shape[1] != inputs.shape[1] for w in weights):
        shapes = [tuple(weight.shape) for weight in weights]
        raise ValueError(f"inputs {tuple(inputs.shape)} and weights {shapes} do not fit")
    x = inputs.float()
    magnitude = x.abs().mean(0).clamp_min(1e-4)
    whole = [x @ weight.float().T for weight in weights]
    best, least = torch.ones(x.shape[1]), torch.inf
    for step in range(STEPS):
        scale = magnitude ** (step / STEPS)
        scale = scale / (scale.max() * scale.min()).sqrt()  # about 1, whatever the inputs' size
        error = 0.0
        for weight, expected in zip(weights, whole, strict=True):
            rounded = GroupedInt4.of(weight.float() * scale, group, grid).dequantize() / scale
            error += (x @ rounded.T - expected).square().mean().item()
        if error < least:
            best, least = scale, error
    return best
