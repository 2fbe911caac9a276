"""LoRA's layer with a backward pass of its own, which saves and moves less."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.models.linear import Linear
from groundup.tuning.lora import LoraLinear

__all__ = ["FusedLoraLinear"]


class FusedLoraLinear(LoraLinear):
    """As `LoraLinear`, whose parameters it has.

    The addition is added by the product that makes it, forwards and backwards, so that neither it
    nor its gradient is written out; and the input is converted once for both products. With dropout
    or over a base in NF4 the layer is the plain one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in); returns (..., out)."""
        base = self.base
        dropped = self.training and self.dropout.p > 0
        if dropped or not torch.is_grad_enabled() or not isinstance(base, Linear):
            return super().forward(x)
        kind = x.device.type
        autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else base.dtype
        with torch.autocast(kind, enabled=False):
            bias = None if base.bias is None else base.bias.to(dtype)
            y: Tensor = _Product.apply(
                x.to(dtype), base.weight.to(dtype), bias, self.a, self.b, self.scaling
            )
        return y if autocast else y.to(x.dtype)


class _Product(torch.autograd.Function):
    """``x @ weight.T + bias + scaling * (x @ a.T) @ b.T``, with gradients for x, a and b."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, s: float
    ) -> Tensor:
        rows = x.flatten(0, -2)  # (N, in)
        a, b = a.to(x.dtype), b.to(x.dtype)
        narrow = rows @ a.T  # (N, r)
        ctx.save_for_backward(rows, weight, narrow, a, b)
        ctx.scaling, ctx.shape = s, x.shape
        return F.linear(rows, weight, bias).addmm_(narrow, b.T, alpha=s).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, narrow, a, b = ctx.saved_tensors
        dy = gradients[0].flatten(0, -2)  # (N, out)
        d_narrow = dy @ b * ctx.scaling  # (N, r)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).addmm_(d_narrow, a).view(ctx.shape)
        db = (dy.T @ narrow).float() * ctx.scaling
        return dx, None, None, (d_narrow.T @ rows).float(), db, None
