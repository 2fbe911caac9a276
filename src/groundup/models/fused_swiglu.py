"""The quickest SwiGLU for training on a CPU: its gate is one loop forwards, and one backwards."""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.models.compiled_floats import exponential, has_loop, narrow, rows, widen
from groundup.models.swiglu import SwiGLU

__all__ = ["FusedSwiGLU"]


class FusedSwiGLU(SwiGLU):
    """As `SwiGLU`, whose parameters it has.

    In torch the gate and its gradient are nine passes over the hidden features, and four results
    are kept for the backward pass; here they are two, and two are kept. Where `has_loop` says no,
    and with a gate and features of different dtypes, the layer is the plain one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As `SwiGLU.forward`."""
        gate, up = self.gate_proj(x), self.up_proj(x)
        quick = has_loop(gate) and gate.dtype == up.dtype
        gated = _Gated.apply(gate, up) if quick else gate * torch.sigmoid(gate) * up
        down: Tensor = self.down_proj(gated)
        return down


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        _gated(*map(rows, (gate, up, y)))
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_gate, d_up = torch.empty_like(gate), torch.empty_like(up)
        _gradients(*map(rows, (gate, up, dy.contiguous(), d_gate, d_up)))
        return d_gate, d_up


# Both are vectorised only so: see `groundup.models.fused_gelu`.
@njit(fastmath=True, error_model="numpy", cache=True)
def _gated(gate: Any, up: Any, y: Any) -> None:
    one = np.float32(1)
    for row in range(gate.shape[0]):
        for i in range(gate.shape[1]):
            z = widen(gate[row, i])
            y[row, i] = narrow(z / (one + exponential(-z)) * widen(up[row, i]), y)


@njit(fastmath=True, error_model="numpy", cache=True)
def _gradients(gate: Any, up: Any, dy: Any, d_gate: Any, d_up: Any) -> None:
    one = np.float32(1)
    for row in range(gate.shape[0]):
        for i in range(gate.shape[1]):
            z, d = widen(gate[row, i]), widen(dy[row, i])
            s = one / (one + exponential(-z))
            d_up[row, i] = narrow(d * z * s, d_up)
            d_gate[row, i] = narrow(d * widen(up[row, i]) * s * (one + z * (one - s)), d_gate)
