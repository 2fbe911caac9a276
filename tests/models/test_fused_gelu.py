"""The compiled GELU beside torch's, value and gradient."""

import pytest
import torch
import torch.nn.functional as F

from groundup.models.fused_gelu import fused_gelu


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 8e-3)])
def test_values_and_gradients(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    z = (3 * torch.randn(2, 331, 103)).mT.to(dtype)  # not contiguous; with both far ends
    z[0, 0, :4] = torch.tensor([0.0, -0.0, 1e4, -1e4])
    z.requires_grad_()
    exact = z.detach().double().requires_grad_()
    weight = torch.randn(z.shape)
    expected = F.gelu(exact, approximate="tanh")
    got = fused_gelu(z)
    assert got.dtype == dtype
    assert got.shape == z.shape
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), exact)
    for _ in range(2):  # the graph is kept, and what it holds unchanged
        (gradient,) = torch.autograd.grad((got * weight).sum(), z, retain_graph=True)
        torch.testing.assert_close(gradient.double(), wanted, rtol=0, atol=10 * tolerance)


def test_not_a_number_stays_one() -> None:
    z = torch.ones(256, 256)
    z[3, 5] = torch.nan
    z.requires_grad_()
    y = fused_gelu(z)
    assert torch.equal(y.isnan(), z.isnan())
    y.sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad.isnan(), z.isnan())
