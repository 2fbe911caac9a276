"""Checks of `groundup.scratch.conv2d`. Oracle: torch's convolution in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch.nn.functional as F

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation
from groundup.scratch.tensor import Tensor

NAMES = ("x", "weight", "bias")

Case = tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def compare(part: ModuleType, cases: list[Case]) -> None:
    expected = []
    for x, weight, options in cases:
        arrays = normal(*x), normal(*weight, seed=1), normal(weight[0], seed=2)
        function = lambda x, w, b, o=options: F.conv2d(x, w, b, **o)  # noqa: E731
        expected.append(expectation(function, *arrays))
    for (x, weight, options), want in zip(cases, expected, strict=True):
        call = lambda x, w, b, o=options: part.conv2d(x, w, b, **o)  # noqa: E731
        named = "".join(f", {name}={value}" for name, value in options.items())
        what = f"the output for images {x} and filters {weight}{named}"
        assert_operation(call, want, what=what, names=NAMES)


def check_values_and_gradients(part: ModuleType) -> None:
    """Values and all three gradients in float64, for one and several channels and filters"""
    compare(
        part,
        [
            ((1, 1, 4, 4), (1, 1, 2, 2), {}),
            ((2, 3, 5, 5), (4, 3, 3, 3), {}),
            ((3, 1, 4, 4), (2, 1, 1, 1), {}),
            ((2, 2, 3, 3), (5, 2, 3, 3), {}),
        ],
    )


def check_rectangles(part: ModuleType) -> None:
    """Images and windows that are not square"""
    compare(
        part,
        [
            ((2, 2, 5, 7), (3, 2, 2, 4), {}),
            ((1, 2, 6, 3), (2, 2, 4, 1), {"padding": 1}),
            ((2, 1, 3, 8), (2, 1, 1, 3), {"stride": 2}),
        ],
    )


def check_padding(part: ModuleType) -> None:
    """Zeros around the image"""
    cases: list[Case] = [((2, 2, 4, 5), (3, 2, 3, 3), {"padding": p}) for p in (1, 2, 3)]
    compare(part, [*cases, ((1, 2, 2, 2), (2, 2, 4, 4), {"padding": 1})])


def check_stride(part: ModuleType) -> None:
    """Windows that move by more than one, also where a rest of the image is left over"""
    shapes = ((7, 7), (6, 8), (3, 3))
    cases: list[Case] = [
        ((2, 2, *shape), (3, 2, 3, 3), {"stride": stride}) for shape in shapes for stride in (2, 3)
    ]
    compare(part, [*cases, ((2, 2, 6, 6), (3, 2, 3, 3), {"stride": 2, "padding": 1})])


def check_not_flipped(part: ModuleType) -> None:
    """The filter is not turned round: one with a 1 at the upper left gives the image back"""
    x = normal(1, 1, 3, 3)
    weight = np.zeros((1, 1, 2, 2))
    weight[0, 0, 0, 0] = 1
    got = part.conv2d(Tensor(x), Tensor(weight)).data
    assert_close(got, x[:, :, :2, :2], what="the output for that filter", rtol=1e-12, atol=0)


def check_without_bias(part: ModuleType) -> None:
    """Without a bias"""
    want = expectation(F.conv2d, normal(2, 2, 4, 4), normal(3, 2, 3, 3, seed=1))
    assert_operation(part.conv2d, want, names=NAMES[:2])


def check_strided_arrays(part: ModuleType) -> None:
    """Arrays whose axes lie otherwise in memory"""
    x, weight = normal(5, 5, 3, 2).T, normal(3, 3, 3, 4, seed=1).transpose(3, 2, 0, 1)
    bias = normal(8, seed=2)[::2]
    want = expectation(lambda x, w, b: F.conv2d(x, w, b, padding=1), x, weight, bias)
    call = lambda x, w, b: part.conv2d(x, w, b, padding=1)  # noqa: E731
    assert_operation(call, want, names=NAMES)


def check_float32(part: ModuleType) -> None:
    """float32 stays float32"""
    shapes = ((2, 3, 6, 6), (4, 3, 3, 3), (4,))
    arrays = [normal(*s).astype(np.float32) for s in shapes]
    want = expectation(lambda x, w, b: F.conv2d(x, w, b, padding=1), *arrays)
    call = lambda x, w, b: part.conv2d(x, w, b, padding=1)  # noqa: E731
    assert_operation(call, want, names=NAMES, rtol=1e-4)


def check_only_what_is_required(part: ModuleType) -> None:
    """Images of the first layer get no gradient, and none is computed"""
    x, bias = Tensor(normal(2, 2, 4, 4)), Tensor(normal(3))
    weight = Tensor(normal(3, 2, 3, 3, seed=1), requires_grad=True)
    y = part.conv2d(x, weight, bias)
    if y.backward_function is not None and len(y.inputs) == 3:  # one operation, as it should be
        shares = y.backward_function(np.ones(y.shape))
        assert_equal(shares[0] is None, True, "that dx is not computed for images without gradient")
    y.backward(np.ones(y.shape))
    assert_equal((x.grad, bias.grad), (None, None), "the gradients of x and bias, which want none")
    if weight.grad is None:
        raise CheckFailure("the weight has no gradient, where it alone requires one")


def check_layer(part: ModuleType) -> None:
    """The layer: shapes, float32, zeros for the bias, weights of variance 2 / (C·h·w)"""
    layer = part.Conv2d(20, 50, 3, rng=np.random.default_rng(0), stride=2, padding=1)
    weight = layer.weight
    assert_equal((weight.shape, str(weight.dtype)), ((50, 20, 3, 3), "float32"), "shape and dtype "
                 "of the weight")  # fmt: skip
    assert_close(layer.bias.data, np.zeros(50, np.float32), what="the new bias", rtol=0, atol=0)
    assert_equal(len(layer.parameters()), 2, "the number of parameters")
    variance = float(weight.data.astype(float).var()) * 180
    if not 1.8 < variance < 2.2:
        raise CheckFailure(f"the weights have variance {variance:.3f} / 180: expected 2 / 180")
    x = normal(2, 20, 5, 5).astype(np.float32)
    want = part.conv2d(Tensor(x), weight, layer.bias, stride=2, padding=1).data
    assert_close(layer(Tensor(x)).data, want, what="the layer's output", rtol=1e-6, atol=1e-6)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit, and options out of range, raise ValueError"""
    x, weight, bias = Tensor(normal(2, 3, 4, 4)), Tensor(normal(5, 3, 3, 3)), Tensor(normal(5))

    def refuses(when: str, *given: Any, **options: int) -> None:
        assert_raises(ValueError, lambda: part.conv2d(*given, **options), when)

    refuses("3 channels meet filters of 2", x, Tensor(normal(5, 2, 3, 3)), bias)
    refuses("3 channels meet filters of 1", x, Tensor(normal(5, 1, 3, 3)), bias)
    refuses("x has three axes", Tensor(normal(3, 4, 4)), weight, bias)
    refuses("the weight has three axes", x, Tensor(normal(3, 3, 3)), bias)
    refuses("the bias has one element", x, weight, Tensor(normal(1)))
    refuses("the window is higher than the image", x, Tensor(normal(5, 3, 5, 3)), bias)
    refuses("the window is wider than the image", x, Tensor(normal(5, 3, 3, 5)), bias)
    refuses("stride is 0", x, weight, bias, stride=0)
    refuses("padding is -1", x, weight, bias, padding=-1)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` images of 16 channels, 14×14."""
    x = Tensor(normal(size, 16, 14, 14).astype(np.float32), requires_grad=True)
    layer = part.Conv2d(16, 32, 3, rng=np.random.default_rng(0), padding=1)
    return lambda: layer(x).sum().backward()


SIZE = 8
