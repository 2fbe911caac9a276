"""Checks of `groundup.scratch.max_pool2d`. Oracle: torch's in float64."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch.nn.functional as F

from groundup.course.grader.compare import assert_close, assert_raises
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation
from groundup.scratch.tensor import Tensor

Case = tuple[tuple[int, ...], int, int | None]  # the shape, the window's size, its stride


def normal(*shape: int) -> Array:
    return np.asarray(np.random.default_rng([*shape]).standard_normal(shape))


def compare(part: ModuleType, cases: list[Case], shift: float = 0.0) -> None:
    """Values and gradients."""
    expected = []
    for shape, size, stride in cases:
        pooled = lambda x, size=size, stride=stride: F.max_pool2d(x, size, stride)  # noqa: E731
        expected.append(expectation(pooled, normal(*shape) + shift))
    for (shape, size, stride), want in zip(cases, expected, strict=True):
        given = (size,) if stride is None else (size, stride)
        call = lambda x, given=given: part.max_pool2d(x, *given)  # noqa: E731
        what = f"the output for images {shape}, size={size}, stride={stride}"
        assert_operation(call, want, what=what, names=("x",))


def check_windows_side_by_side(part: ModuleType) -> None:
    """Windows of several sizes side by side, in each image and channel"""
    compare(part, [((1, 1, 4, 4), 2, None), ((2, 3, 6, 6), 3, None), ((3, 2, 4, 6), 2, 2)])


def check_negative_values(part: ModuleType) -> None:
    """Images without a positive value"""
    compare(part, [((2, 2, 4, 4), 2, None), ((1, 2, 5, 5), 3, 1)], shift=-10)


def check_windows_that_overlap(part: ModuleType) -> None:
    """A value that is the largest of several windows gets the sum of their gradients"""
    compare(part, [((1, 1, 5, 5), 3, 1), ((2, 2, 6, 7), 3, 2), ((1, 2, 4, 5), 2, 1)])


def check_rest(part: ModuleType) -> None:
    """What is left over at the right and at the bottom is in no window"""
    compare(part, [((2, 2, 5, 7), 2, None), ((1, 2, 8, 7), 3, None), ((1, 1, 7, 5), 2, 3)])


def check_small_and_whole_windows(part: ModuleType) -> None:
    """A window of one value, and one of the whole image"""
    compare(part, [((2, 2, 3, 4), 1, None), ((2, 2, 4, 4), 4, None), ((1, 2, 5, 5), 1, 2)])


def check_equal_values(part: ModuleType) -> None:
    """Of equal values the first by rows gets the gradient"""
    image = np.array([[1.0, 3, 2, 2], [3, 3, 2, 2], [0, 0, 5, 1], [0, 0, 1, 5]])
    want = np.array([[0.0, 7, 8, 0], [0, 0, 0, 0], [9, 0, 6, 0], [0, 0, 0, 0]])
    x = Tensor(image[None, None], requires_grad=True)
    y = part.max_pool2d(x, 2)
    y.backward(np.array([[[[7.0, 8.0], [9.0, 6.0]]]]))
    assert_close(x.grad, want[None, None], rtol=0, atol=0, what="the gradient of equal values")


def check_float32(part: ModuleType) -> None:
    """float32 in, float32 out, also for arrays that are not contiguous"""
    x = normal(2, 5, 4, 3).astype(np.float32).transpose(0, 3, 1, 2)
    want = expectation(lambda x: F.max_pool2d(x, 2), x)
    assert_operation(lambda x: part.max_pool2d(x, 2), want, names=("x",), rtol=1e-6)


def check_bad_input(part: ModuleType) -> None:
    """Windows that do not fit, and images without four axes, raise ValueError"""
    x = Tensor(normal(2, 3, 4, 6))
    part.max_pool2d(x, 4)
    assert_raises(ValueError, lambda: part.max_pool2d(x, 5), "size is 5 and the image 4 by 6")
    assert_raises(ValueError, lambda: part.max_pool2d(x, 0), "size is 0")
    assert_raises(ValueError, lambda: part.max_pool2d(x, 2, 0), "stride is 0")
    assert_raises(ValueError, lambda: part.max_pool2d(x, 2, -1), "stride is -1")
    flat = Tensor(normal(3, 4, 6))
    assert_raises(ValueError, lambda: part.max_pool2d(flat, 2), "x has three axes")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` images of 16 channels, 28×28."""
    x = Tensor(normal(size, 16, 28, 28).astype(np.float32), requires_grad=True)
    return lambda: part.max_pool2d(x, 2).sum().backward()


SIZE = 16
