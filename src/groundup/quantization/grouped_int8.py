"""Integers of 8 bits with a scale for each row, or for each group of a row's weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.quantization.absmax import absmax_quantize
from groundup.quantization.grouped_int4 import grouped
from groundup.quantization.in_float16 import in_float16

__all__ = ["GroupedInt8"]


@dataclass(frozen=True)
class GroupedInt8:
    """A matrix (M, K) of which each group of a row is ``q * scale``, q of -127 to 127."""

    q: Tensor  # (M, K) int8
    scale: Tensor  # (M, K / group) float32

    @classmethod
    def of(cls, weight: Tensor, group: int | None = None) -> "GroupedInt8":
        """Round each weight (M, K) to its group's nearest; None: a row is one group.

        Groups smaller than a row have scales that float16 holds, as GGML's Q8_0 stores them.

        Raises:
            ValueError: K is not a multiple of the group, the weight holds NaN or infinity, or a
                group's scale is beyond float16.
        """
        q, scale = absmax_quantize(grouped(weight, group or weight.shape[1]))
        scale = scale[..., 0]
        return cls(q.reshape(weight.shape), scale if group is None else in_float16(scale))

    def dequantize(self) -> Tensor:
        """The matrix, float32."""
        groups = self.q.view(*self.scale.shape, -1).float()
        return torch.mul(groups, self.scale[..., None]).view(self.q.shape)
