"""Products with quantised weights against those with the dequantised ones, in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup.engine.triton_dequantized_matmul import Int4Matrix, Int8Matrix, Nf4Matrix
from groundup.models.dequantize import Q4_1, dequantize_q4_1
from groundup.quantization.nf4 import Nf4

# The interpreter has no products of bfloat16.
DTYPES = [torch.float32, torch.float16, torch.bfloat16][: 2 + torch.cuda.is_available()]


def numbers(matrix: Int8Matrix | Int4Matrix) -> Tensor:
    """The weight that the matrix stands for, (M, K) float64."""
    if isinstance(matrix, Int8Matrix):
        return matrix.q.double() * matrix.scale.double()[:, None]
    M = len(matrix.q)
    blocks = np.empty(matrix.scale.numel(), Q4_1)  # GGUF's own layout, and its reader
    blocks["scale"] = matrix.scale.cpu().numpy().ravel()
    blocks["minimum"] = matrix.minimum.cpu().numpy().ravel()
    blocks["q"] = matrix.q.cpu().numpy().reshape(-1, 16)
    return torch.from_numpy(dequantize_q4_1(blocks)).reshape(M, -1).double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Int8Matrix, Int4Matrix])
@pytest.mark.parametrize(("N", "M", "K"), [(1, 33, 64), (70, 65, 96)])
def test_values(
    device: torch.device, kind: type[Int8Matrix | Int4Matrix], dtype: torch.dtype,
    N: int, M: int, K: int,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    matrix = kind.of(torch.randn(M, K, device=device) + 0.5)
    x = torch.randn(N, K, device=device, dtype=dtype)
    got = matrix(x)
    assert got.dtype == dtype
    expected = x.cpu().double() @ numbers(matrix).cpu().T
    step = max(torch.finfo(dtype).eps, 1e-6)  # a weight is rounded to x's dtype, and the result is
    error = (got.cpu().double() - expected).abs().max()
    assert error < 2 * step * expected.abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "M", "K"), [(1, 33, 64), (70, 65, 192)])
def test_nf4_values(device: torch.device, dtype: torch.dtype, N: int, M: int, K: int) -> None:
    torch.manual_seed(0)
    spread = 10 ** torch.linspace(-1, 1, M * K // 64).repeat_interleave(64).view(M, K)
    for double in (True, False):
        weight = Nf4.of(torch.randn(M, K) * spread, double=double)  # each block has its own scale
        x = torch.randn(N, K, device=device, dtype=dtype)
        got = Nf4Matrix.of(weight, device)(x)
        assert got.dtype == dtype
        expected = x.cpu().double() @ weight.dequantize().double().T
        step = max(torch.finfo(dtype).eps, 1e-6)
        error = (got.cpu().double() - expected).abs().max(0).values
        assert (
            error
            < 4 * step * (x.cpu().double().abs() @ weight.dequantize().double().abs().T).amax(0)
        ).all()


def test_int8_is_the_nearest(device: torch.device) -> None:
    """Each row is right to half a step, whose size is its own; zeros stay zeros."""
    weight = torch.randn(5, 64, device=device) * torch.tensor([1e-3, 1, 100, 0, 1])[:, None].to(
        device
    )
    error = (numbers(Int8Matrix.of(weight)) - weight.double()).abs().amax(1)
    largest = weight.double().abs().amax(1)
    assert (error <= largest / 127 / 2 * 1.0001).all()
    assert int(Int8Matrix.of(weight).q.abs().max()) == 127


def test_int4_is_the_nearest(device: torch.device) -> None:
    """Each group of 32 is right to half a step of its own spread, besides float16's rounding."""
    weight = torch.randn(3, 96, device=device)
    weight[:, 32:64] = 100 + 0.5 * weight[:, 32:64]  # far from zero: the minimum is needed
    weight[2] = 0.25
    error = (numbers(Int4Matrix.of(weight)) - weight.cpu().double()).abs().reshape(3, 3, 32)
    groups = weight.cpu().double().reshape(3, 3, 32)
    spread = groups.amax(2) - groups.amin(2)
    rounding = groups.abs().amax(2) * 2**-10
    assert (error.amax(2) <= spread / 15 / 2 + rounding).all()


def test_what_does_not_fit(device: torch.device) -> None:
    with pytest.raises(ValueError, match="multiple, got K 40"):
        Int4Matrix.of(torch.zeros(4, 40))
    for kind in (Int4Matrix, Int8Matrix):
        with pytest.raises(ValueError, match=r"\(N, 64\), got \(2, 32\)"):
            kind.of(torch.zeros(4, 64, device=device))(torch.zeros(2, 32, device=device))
    with pytest.raises(ValueError, match=r"blocks of 64, got torch.Size\(\[4, 96\]\)"):
        Nf4Matrix.of(Nf4.of(torch.ones(4, 96)))
    with pytest.raises(ValueError, match=r"\(N, 64\), got \(2, 32\)"):
        Nf4Matrix.of(Nf4.of(torch.ones(4, 64)), device)(torch.zeros(2, 32, device=device))
