"""Checks of `groundup.quantization.absmax`. Oracle: the formula in NumPy, invariants."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_raises


def oracle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers and scales, float64."""
    exact = x.double().numpy()
    scale = np.maximum(abs(exact).max(-1, keepdims=True) / 127, 1e-30)
    return torch.from_numpy(np.rint(exact / scale)), torch.from_numpy(scale)


def compare(got: object, x: Tensor, expected: tuple[Tensor, Tensor], what: str) -> None:
    """Scales are those of the oracle, and whole numbers are too, unless both are as near."""
    if not isinstance(got, tuple) or len(got) != 2:
        raise CheckFailure(f"the result {what} is {type(got).__name__}: expected two tensors")
    q, scale = got
    want, want_scale = expected
    assert_close(scale, want_scale.float(), rtol=1e-6, atol=0, what=f"the scale {what}")
    tie = ((x.double() / want_scale) % 1 - 0.5).abs() < 1e-4  # a last bit may decide it
    want = torch.where(tie, q.double(), want) if q.shape == want.shape else want
    assert_close(q, want.to(torch.int8), rtol=0, atol=0, what=f"q {what}")


def check_example(part: ModuleType) -> None:
    """A row by hand: its largest becomes 127, and the rest is rounded to the nearest"""
    x = torch.tensor([[254.0, -126.0, 20.8, -0.9, 21.2]])
    expected = torch.tensor([[127, -63, 10, 0, 11]], dtype=torch.int8)
    q, scale = part.absmax_quantize(x)
    assert_close(q, expected, rtol=0, atol=0, what="q of 254, -126, 20.8, -0.9, 21.2")
    assert_close(scale, torch.tensor([[2.0]]), rtol=1e-6, atol=0, what="its scale")


def check_rows(part: ModuleType) -> None:
    """Each row has its own scale, over any number of axes"""
    sizes = 10.0 ** torch.arange(-4, 4)
    cases = [torch.randn(8, 40) * sizes[:, None], torch.randn(2, 3, 17), torch.randn(5)]
    expected = [oracle(x) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        compare(part.absmax_quantize(x), x, want, f"for x of shape {tuple(x.shape)}")


def check_half_a_step(part: ModuleType) -> None:
    """q times scale is off by half a scale at most"""
    x = torch.randn(16, 300)
    exact = x.double()
    q, scale = part.absmax_quantize(x)
    error = (q.double() * scale.double() - exact).abs() / scale.double()
    assert_close(error.amax(), torch.tensor(0.5, dtype=torch.float64), rtol=0, atol=0.01,
                 what="the largest error, in scales,")  # fmt: skip


def check_negative_largest(part: ModuleType) -> None:
    """The largest magnitude counts, of either sign; -128 is not used"""
    x = torch.stack([torch.linspace(-4, 1, 50), torch.linspace(-1, 4, 50), -torch.ones(50)])
    expected = oracle(x)
    compare(part.absmax_quantize(x), x, expected, "for rows of -4 to 1, -1 to 4 and -1")


def check_zeros(part: ModuleType) -> None:
    """A row of zeros stays zeros, with a scale that is positive, beside another row"""
    x = torch.zeros(2, 6)
    x[1, 2] = 3
    expected = oracle(x)
    compare(part.absmax_quantize(x), x, expected, "for a row of zeros and another")


def check_narrow_dtypes(part: ModuleType) -> None:
    """bfloat16 and float16 are widened to float32 first, also numbers near their smallest"""
    cases = [torch.randn(3, 50).bfloat16(), torch.randn(3, 50).half(), torch.randn(3, 50).double()]
    cases.append((torch.randn(3, 50) * 1e-6).half())
    expected = [oracle(x.float()) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        compare(part.absmax_quantize(x), x, want, f"for x of {x.dtype}")


def check_bad_input(part: ModuleType) -> None:
    """NaN and infinity raise ValueError"""
    for bad in (float("nan"), float("inf"), float("-inf")):
        x = torch.ones(2, 3)
        x[1, 1] = bad
        assert_raises(ValueError, partial(part.absmax_quantize, x), f"x holds {bad}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a square weight of this size."""
    weight = torch.randn(size, size)
    return lambda: part.absmax_quantize(weight)


SIZE = 1024
