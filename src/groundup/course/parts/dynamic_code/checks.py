"""Checks of `groundup.quantization.dynamic_code`. Oracle: the numbers one by one, in float64."""

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_equal


def oracle() -> Tensor:
    numbers = [0.0, 1.0]
    for e in range(7):
        for k in range(2**e):
            fraction = 0.1 + 0.9 * (k + 0.5) / 2**e
            numbers += [fraction * 10.0 ** (e - 6), -fraction * 10.0 ** (e - 6)]
    return torch.from_numpy(np.sort(np.array(numbers))).float()


def check_form(part: ModuleType) -> None:
    """256 numbers in float32, ascending, none of them twice"""
    code = part.dynamic_code()
    assert_equal(tuple(code.shape), (256,), "the shape")
    assert_equal(str(code.dtype), "torch.float32", "the dtype")
    assert_equal(bool((code[1:] > code[:-1]).all()), True, "that each is larger than the last")


def check_values(part: ModuleType) -> None:
    """The numbers, from the definition"""
    expected = oracle()
    assert_close(part.dynamic_code(), expected, rtol=2e-6, atol=0, what="the code")


def check_ends(part: ModuleType) -> None:
    """Zero and one are there; the others have both signs, so that the lowest is above -1"""
    expected = torch.tensor([-0.99296875, 0.0, 0.99296875, 1.0])
    code = part.dynamic_code()
    ends = torch.stack([code[0], code[127], code[254], code[255]])
    assert_close(ends, expected, rtol=2e-6, atol=0, what="the code at 0, 127, 254 and 255")
    assert_close(-code[:127].flip(0), code[128:255], rtol=0, atol=0, what="the negative half")


def check_decades(part: ModuleType) -> None:
    """Each power of ten has twice as many numbers as the one below"""
    code = part.dynamic_code()
    edges = [10.0**e for e in range(-7, 1)]
    counts = [int(((code > a) & (code < b)).sum()) for a, b in pairwise(edges)]
    assert_equal(counts, [1, 2, 4, 8, 16, 32, 64], "the numbers of each decade")


def check_errors(part: ModuleType) -> None:
    """No number of a decade is farther from the code than half of a piece"""
    code = part.dynamic_code().double()
    for e in range(7):
        top = 10.0 ** (e - 6)
        x = torch.linspace(0.1 * top, top, 400, dtype=torch.float64)
        error = (x[:, None] - code).abs().amin(1).max() / top
        want = torch.tensor(0.45 / 2**e, dtype=torch.float64)
        what = f"the largest error between {0.1 * top:g} and {top:g}, over {top:g},"
        assert_close(error, want, rtol=0, atol=0.1 * float(want), what=what)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the code looked up ``size`` times."""
    indices = torch.randint(256, (size,))
    return lambda: part.dynamic_code()[indices]


SIZE = 100_000
