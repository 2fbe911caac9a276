"""Checks of `groundup.quantization.llm_int8`. Oracle: whole numbers and sums in NumPy's float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def rounded(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row in whole steps of its largest over 127."""
    scale = np.maximum(abs(x).max(-1, keepdims=True) / 127, 1e-30)
    steps: NDArray[np.float64] = np.rint(x / scale) * scale
    return steps


def oracle(x: Tensor, weight: Tensor, threshold: float) -> Tensor:
    """With each entry of the product summed by itself, float32."""
    rows, w = x.double().numpy(), rounded(weight.double().numpy())
    large = (abs(rows) >= threshold).any(0)
    small = rounded(np.where(large, 0, rows))
    return torch.from_numpy(np.where(large, rows, small) @ w.T).float()


def with_outliers(*shape: int) -> Tensor:
    x = torch.randn(*shape).clamp(-3, 3)
    x[..., 2] *= 20
    x[0, 5] = -6.5  # in one row alone
    return x


def check_integer_product(part: ModuleType) -> None:
    """integer_product: exact in int32, also where a float32 sum would round"""
    cases = [
        (torch.randint(-127, 128, (n, 8 * n)), torch.randint(-127, 128, (24, 8 * n)))
        for n in (1, 5, 40)
    ]
    large = torch.full((8, 4096), 127)
    large[:, 7] = 1  # an odd sum beyond what float32 counts
    cases.append((torch.full((2, 4096), 127), large))
    expected = [torch.from_numpy(x.numpy() @ w.numpy().T).int() for x, w in cases]
    for (x, w), want in zip(cases, expected, strict=True):
        got = part.integer_product(x.to(torch.int8), w.to(torch.int8))
        what = f"the product of {tuple(x.shape)} and {tuple(w.shape)}"
        assert_close(got, want, rtol=0, atol=0, what=what)


def check_plain(part: ModuleType) -> None:
    """Without outliers: the product of the rounded factors, each row with its scale"""
    x = torch.randn(7, 32) * torch.logspace(-3, 0, 7)[:, None]
    weight = torch.randn(16, 32) * torch.logspace(-2, 1, 16)[:, None]
    expected = oracle(x, weight, np.inf)
    assert_close(part.LlmInt8Matrix.of(weight)(x), expected, what="the product", **CLOSE)


def check_outliers(part: ModuleType) -> None:
    """A column that holds 6 or more in any row is multiplied in floats, in all rows"""
    x, weight = with_outliers(9, 24), torch.randn(16, 24)
    expected = oracle(x, weight, 6.0)
    assert_close(part.LlmInt8Matrix.of(weight)(x), expected, what="the product", **CLOSE)


def check_threshold(part: ModuleType) -> None:
    """Other thresholds, which themselves are outliers; infinity leaves nothing out"""
    x, weight = with_outliers(9, 24), torch.randn(16, 24)
    x[3, 7] = 2.5
    levels = (2.5, 2.5001, 50.0, float("inf"))
    expected = [oracle(x, weight, level) for level in levels]
    for level, want in zip(levels, expected, strict=True):
        got = part.LlmInt8Matrix.of(weight, level)(x)
        assert_close(got, want, what=f"the product with threshold {level}", **CLOSE)


def check_all_outliers(part: ModuleType) -> None:
    """Every column an outlier, and none left to round; rows of zeros"""
    x, weight = torch.randn(3, 16).sign() * 8, torch.randn(8, 16)
    zeros = torch.zeros(3, 16)
    expected = oracle(x, weight, 6.0)
    matrix = part.LlmInt8Matrix.of(weight)
    assert_close(matrix(x), expected, what="the product of outliers", **CLOSE)
    assert_close(matrix(zeros), torch.zeros(3, 8), rtol=0, atol=0, what="the product of zeros")


def check_shapes_and_dtypes(part: ModuleType) -> None:
    """Any number of axes before the last, and the dtype of x"""
    weight = torch.randn(8, 16)
    cases = [torch.randn(2, 3, 16), torch.randn(16), torch.randn(4, 16).bfloat16()]
    expected = [oracle(x.float().reshape(-1, 16), weight, 6.0) for x in cases]
    matrix = part.LlmInt8Matrix.of(weight)
    for x, want in zip(cases, expected, strict=True):
        what = f"the product for x of shape {tuple(x.shape)} and {x.dtype}"
        narrow = {"rtol": 2**-7, "atol": 1e-3} if x.dtype == torch.bfloat16 else CLOSE
        assert_close(matrix(x), want.view(*x.shape[:-1], 8).to(x.dtype), what=what, **narrow)


def check_kept(part: ModuleType) -> None:
    """The weight is kept in bytes, a scale for each output"""
    weight = torch.randn(8, 16)
    exact = weight.double().numpy()
    want = torch.from_numpy(abs(exact).max(1, keepdims=True) / 127).float()
    steps = torch.from_numpy(rounded(exact)) / want
    matrix = part.LlmInt8Matrix.of(weight)
    assert_close(matrix.scale, want, rtol=1e-6, atol=0, what="the scale")
    assert_close(matrix.q, steps.round().to(torch.int8), rtol=0, atol=0, what="q")


def check_bad_input(part: ModuleType) -> None:
    """A threshold that is not positive, columns that do not fit, and NaN raise ValueError"""
    weight, narrow, broken = torch.randn(8, 16), torch.randn(2, 15), torch.ones(2, 16)
    broken[0, 3] = float("nan")
    for threshold in (0.0, -6.0, float("nan")):
        call = partial(part.LlmInt8Matrix.of, weight, threshold)
        assert_raises(ValueError, call, f"threshold is {threshold}")
    matrix = part.LlmInt8Matrix.of(weight)
    assert_raises(ValueError, partial(matrix, narrow), "x has 15 columns, the weight 16", "15")
    assert_raises(ValueError, partial(matrix, broken), "x holds NaN")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens of 576 features, two of them outliers."""
    x, matrix = torch.randn(size, 576), part.LlmInt8Matrix.of(torch.randn(576, 576))
    x[:, [7, 300]] *= 20
    return lambda: matrix(x)


SIZE = 256
