"""The quickest attention, where it computes by other operations: bfloat16 on a CPU."""

import pytest
import torch

from groundup.models.attention import attention
from groundup.models.fused_attention import fused_attention


@pytest.mark.parametrize(
    ("T", "S", "H_kv"), [(9, 9, 2), (1, 7, 4), (8, 8, 4), (5, 8, 1), (150, 160, 2)]
)
@pytest.mark.parametrize("causal", [True, False])
def test_products_in_bfloat16_and_their_gradients(T: int, S: int, H_kv: int, causal: bool) -> None:
    torch.manual_seed(0)
    wide = [torch.randn(2, h, n, 16).double() for h, n in ((4, T), (H_kv, S), (H_kv, S))]
    exact = [x.requires_grad_() for x in wide]
    narrow = [x.detach().float().requires_grad_() for x in wide]
    with torch.autocast("cpu", torch.bfloat16):
        out = fused_attention(narrow[0], narrow[1], narrow[2], causal=causal)
    assert out.dtype == torch.bfloat16
    expected = attention(exact[0], exact[1], exact[2], causal=causal)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=0.03)  # of values up to 3
    weight = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad((expected * weight).sum(), exact)
    gradients = torch.autograd.grad((out.double() * weight).sum(), narrow)
    for got, want in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=0.06)  # up to 4
