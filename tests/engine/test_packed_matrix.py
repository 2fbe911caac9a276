"""Products of packed matrices, and the kernels around them, against float64 and whole numbers."""

import numpy as np
import pytest
import torch

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
@pytest.mark.parametrize("rows", [1, 2])
def test_products_of_four_bits(rows: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(rows)
    weight = torch.randn(shape) * torch.rand(shape[0], 1) + torch.rand(shape[0], 1)
    weight[:, :32] *= 8  # neighbours have other scales
    x = torch.randn(rows, shape[1]) + 0.5  # whose sums count
    matrix = PackedMatrix(weight, "int4")
    stored = matrix.empty(rows)
    store_rows(x.numpy(), stored.array, stored.scales)
    product = matrix(stored)
    if product.scales is not None:
        scale_rows(product.array, product.scales)
    expected = x.double() @ GroupedInt4.of(weight).dequantize().double().T
    assert (product.tensor - expected).norm() / expected.norm() < (5e-5 if rows == 1 else 8e-3)


def test_the_greatest_sums_of_four_bits() -> None:
    weight = torch.tensor([-1.0, 1.0]).repeat(1, 32)
    matrix = PackedMatrix(weight, "int4")
    stored = matrix.empty(1)
    x = torch.tensor([-1.0, 1.0]).repeat(1, 32)
    store_rows(x.numpy(), stored.array, stored.scales)
    product = matrix(stored)
    assert product.scales is not None
    assert product.array[0, 0] * product.scales[0] == pytest.approx(64, rel=1e-3)


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
