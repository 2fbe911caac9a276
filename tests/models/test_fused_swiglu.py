"""The compiled gate beside the plain layer in float64."""

import copy

import pytest
import torch

from groundup.cli.tune import train_with_fused_layers
from groundup.models.fused_swiglu import FusedSwiGLU
from groundup.models.swiglu import SwiGLU


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
def test_values_and_gradients(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    plain = SwiGLU(24, 260).to(dtype)
    for parameter in plain.parameters():
        parameter.data *= 3  # gates on both sides
    fused = torch.nn.Sequential(copy.deepcopy(plain))
    train_with_fused_layers(fused)
    assert type(fused[0]) is FusedSwiGLU
    exact = plain.double()
    x = (3 * torch.randn(2, 150, 24)).to(dtype)
    weight = torch.randn(x.shape, dtype=torch.float64)
    found = []
    for layer in (exact, fused):
        given = x.to(next(layer.parameters()).dtype).requires_grad_()
        y = layer(given)
        loss = (y.double() * weight).sum()
        wanted = [given, *layer.parameters()]
        for _ in range(2):  # the graph is kept, and what it holds unchanged
            gradients = torch.autograd.grad(loss, wanted, retain_graph=True)
        found.append((y, *gradients))
    for a, b in zip(*found, strict=True):
        assert b.dtype == dtype
        torch.testing.assert_close(b.double(), a, rtol=0, atol=tolerance * a.abs().max().item())
