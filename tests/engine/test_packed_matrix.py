"""Products of packed matrices, and the kernels around them, against float64 and whole numbers."""

import numba
import numpy as np
import pytest
import torch

from groundup.engine import int4_matrix_vector
from groundup.engine.cpu_kernels import highest_logits, scale_rows, store_rows
from groundup.engine.packed_matrix import Form, PackedMatrix, Rows, supports_int8
from groundup.quantization.grouped_int4 import GroupedInt4


def packed(form: Form, rows: int) -> tuple[torch.Tensor, torch.Tensor, PackedMatrix, Rows]:
    """A weight, rows to multiply it with, and both as they are packed."""
    torch.manual_seed(rows)
    dtype = torch.float32 if form == "float32" else torch.bfloat16
    weight = (torch.randn(96, 64) * torch.rand(96, 1)).to(dtype)
    x = torch.randn(rows, 64) * torch.rand(rows, 1)
    matrix = PackedMatrix(weight, form, exact=True)
    stored = matrix.empty(rows)
    store_rows(x.numpy(), stored.array, stored.scales)
    return weight, x, matrix, stored


def four_bits(shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight, and what becomes of it in 4 bits, float64."""
    torch.manual_seed(0)
    weight = torch.randn(shape) * torch.rand(shape[0], 1) + torch.rand(shape[0], 1)
    weight[:, :32] *= 8  # neighbours have other scales
    return weight, GroupedInt4.of(weight).dequantize().double()


@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize(("form", "error"), [("float32", 1e-6), ("bfloat16", 8e-3)])
def test_products_of_floats(form: Form, error: float, rows: int) -> None:
    weight, x, matrix, stored = packed(form, rows)
    expected = x.double() @ weight.double().T
    got = matrix(stored).tensor.double()
    assert ((got - expected).norm(dim=1) / expected.norm(dim=1)).max() < error


@pytest.mark.skipif(not supports_int8(), reason="torch has no such product on this processor")
@pytest.mark.parametrize("rows", [2, 33])
def test_products_of_integers_are_exact(rows: int) -> None:
    weight, x, matrix, stored = packed("int8", rows)
    assert stored.scales is not None
    x_scales = x.abs().amax(1) / 127
    torch.testing.assert_close(torch.from_numpy(stored.scales), x_scales)
    integers = stored.array.astype(np.int64) - 128
    assert np.abs(integers - (x / x_scales[:, None]).numpy()).max() <= 0.5001
    scales = weight.float().abs().amax(1) / 127
    weights = (weight.float() / scales[:, None]).round().numpy().astype(np.int64)
    product = matrix(stored)
    assert product.scales is not None
    scale_rows(product.array, product.scales)
    expected = (integers @ weights.T) * x_scales.double()[:, None].numpy() * scales.double().numpy()
    np.testing.assert_allclose(product.array, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(not supports_int8(), reason="torch has no such product on this processor")
def test_products_of_integers_rounded() -> None:
    weight, _, matrix, stored = packed("int8", 33)
    rounded = PackedMatrix(weight, "int8")(stored).tensor
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, matrix(stored).tensor.bfloat16())


@pytest.mark.skipif(not supports_int8(), reason="torch has no such product on this processor")
@pytest.mark.parametrize("inputs", [64, 700])
def test_a_single_row_is_rounded_to_16_bits(inputs: int) -> None:
    torch.manual_seed(inputs)
    weight, x = torch.ones(96, inputs), torch.ones(1, inputs)  # the greatest sum that there is
    weight[1:] = torch.randn(95, inputs)
    x[0, 1::2] += torch.rand(inputs // 2) * 1e-4
    matrix = PackedMatrix(weight, "int8")
    stored = matrix.empty(1)
    store_rows(x.numpy(), stored.array, stored.scales)
    product = matrix(stored)
    assert product.scales is not None
    scale_rows(product.array, product.scales)
    scales = weight.abs().amax(1, keepdim=True) / 127
    rounded = (weight / scales).round().double() * scales
    expected = x.double() @ rounded.T
    assert (product.tensor - expected).norm() / expected.norm() < 5e-5


@pytest.mark.parametrize("shape", [(3, 32), (96, 192), (5, 1600), (4, 256)])
def test_products_of_four_bits(shape: tuple[int, int]) -> None:
    weight, rounded = four_bits(shape)
    matrix = PackedMatrix(weight, "int4")
    x = torch.randn(2, shape[1]) + 0.5  # whose sums count
    stored = matrix.empty(2)
    store_rows(x.numpy(), stored.array, stored.scales)
    expected = x.double() @ rounded.T
    assert (matrix(stored).tensor - expected).norm() / expected.norm() < 8e-3


@pytest.mark.parametrize("shape", [(3, 32), (96, 192), (5, 1600), (4, 256)])
def test_a_single_row_times_four_bits_is_rounded_in_groups(shape: tuple[int, int]) -> None:
    weight, rounded = four_bits(shape)
    x = (torch.randn(shape[1]) + 0.5).view(-1, 32)
    x[0] *= 100  # and its neighbours keep their digits
    matrix = PackedMatrix(weight, "int4")
    product = matrix(Rows(x.view(1, -1), count=1)).tensor[0]
    scales = x.double().abs().amax(1, keepdim=True) / 127
    expected = rounded @ ((x / scales).round() * scales).flatten()
    assert product.shape == (shape[0],)
    assert (product - expected).norm() / expected.norm() < 2e-6


def test_a_processor_that_does_not_multiply_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int4_matrix_vector, "has_vnni", lambda context: False)
    plain = numba.njit(int4_matrix_vector.matrix_vector_int4.py_func)
    weight, _ = four_bits((16, 64))
    (tiles,) = PackedMatrix(weight, "int4").stored
    x = torch.randn(64).numpy()
    expected = int4_matrix_vector.matrix_vector_int4(tiles, x)
    np.testing.assert_allclose(plain(tiles, x), expected, rtol=1e-5, atol=1e-5)
    greatest = np.full_like(tiles, 255)  # all sums of the most that there is
    greatest[..., 128:] = np.full(16, 1, np.float16).view(np.uint8)
    assert plain(greatest, np.ones(64, np.float32)).tolist() == pytest.approx([16 * 64] * 16)


def test_the_greatest_sums_of_four_bits() -> None:
    x = torch.tensor([-1.0, 1.0]).repeat(1, 32)
    product = PackedMatrix(x, "int4")(Rows(x, count=1))
    assert product.array[0, 0] == pytest.approx(64, rel=1e-3)


def test_rows_of_zeros() -> None:
    matrix = PackedMatrix(torch.ones(4, 8), "int8" if supports_int8() else "float32")
    stored = matrix.empty(2)
    store_rows(np.zeros((2, 8), np.float32), stored.array, stored.scales)
    assert (matrix(stored).tensor == 0).all()


@pytest.mark.parametrize("width", [1, 255, 256, 257, 1000])
def test_the_highest_is_the_first_of_equals(width: int) -> None:
    logits = torch.randn(50, width).mul(3).round()  # many ties
    found = np.empty(50, np.int64)
    highest_logits(logits.numpy(), found)
    first = [row.index(max(row)) for row in logits.tolist()]
    assert found.tolist() == first
