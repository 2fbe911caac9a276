"""Integers of 4 bits with a scale and a minimum for each group of a row's weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.quantization.in_float16 import in_float16

__all__ = ["Grid", "GroupedInt4", "grid", "grouped", "round_to_grid"]

GROUP = 32  # weights that share a scale; GGML's, so that such a matrix can be kept as Q4_1
LEVELS = 15  # the highest of 4 bits

Grid = Callable[[Tensor], tuple[Tensor, Tensor]]  # groups (..., group) to scale and minimum (...)


def grid(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and minimum that spread 16 levels evenly from each group's lowest to its highest.

    The minimum is the group's lowest number as float16 has it. The scale is a fifteenth of the way
    from there to the highest, again as float16 has it: what is stored is also what is rounded to.

    Args:
        groups: (..., group) float32.

    Returns:
        scale, minimum: (...) float32, rounded to float16 as they are stored. The scale is positive.

    Raises:
        ValueError: one of them is beyond float16's range, which ends at 65,504.
    """
    minimum = in_float16(groups.amin(-1))
    spread = groups.amax(-1) - minimum
    scale = in_float16((spread / LEVELS).clamp_min(1e-7))  # float16 has none below 6e-8
    return scale, minimum


@dataclass(frozen=True)
class GroupedInt4:
    """A matrix (M, K) of which each group of a row is ``q * scale + minimum``, q of 0 to 15."""

    q: Tensor  # (M, K) uint8
    scale: Tensor  # (M, K / group) float32, of values that float16 has
    minimum: Tensor  # (M, K / group) float32

    @classmethod
    def of(cls, weight: Tensor, group: int = GROUP, grid: Grid = grid) -> "GroupedInt4":
        """Round each weight to its group's nearest: what GPTQ and AWQ improve on.

        ``grid`` chooses the levels; others than the default are in ``int4_grids``.

        Raises:
            ValueError: K is not a multiple of the group, the weight holds NaN or infinity, or
                as `grid`.
        """
        groups = grouped(weight, group)
        scale, minimum = grid(groups)
        q = round_to_grid(groups, scale[..., None], minimum[..., None])
        return cls(q.view(weight.shape), scale, minimum)

    @property
    def group(self) -> int:
        """Weights that share a scale."""
        return self.q.shape[1] // self.scale.shape[1]

    def dequantize(self) -> Tensor:
        """The matrix, float32."""
        groups = self.q.view(*self.scale.shape, self.group).float()
        return (groups * self.scale[..., None] + self.minimum[..., None]).view(self.q.shape)


def grouped(weight: Tensor, group: int) -> Tensor:
    """A weight (M, K) as (M, K / group, group), float32.

    Raises:
        ValueError: as `GroupedInt4.of`.
    """
    M, K = weight.shape
    if group <= 0 or K % group:
        raise ValueError(f"a weight (M, K) in groups of {group} needs K a multiple, got K {K}")
    if not weight.isfinite().all():
        raise ValueError("cannot quantise NaN or infinity: look for the layer that made it")
    return weight.float().reshape(M, -1, group)


def round_to_grid(x: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """The nearest level of each number: the q of 0 to 15 whose ``q * scale + minimum`` is nearest.

    Args:
        x: float32; scale and minimum broadcast against it.

    Returns:
        Of the shape of x, uint8. What lies outside the levels gets the first or the last.
    """
    return ((x - minimum) / scale).round().clamp(0, LEVELS).to(torch.uint8)
