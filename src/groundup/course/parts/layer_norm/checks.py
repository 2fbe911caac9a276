"""Checks of `groundup.scratch.layer_norm`. Oracle: torch's layer norm in float64."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch.nn.functional as F

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import (
    Array,
    Expectation,
    assert_operation,
    expectation,
)
from groundup.scratch.tensor import Tensor

NAMES = ("x", "weight", "bias")


def normal(*shape: int, seed: int = 0) -> Array:
    """Values whose mean is far from zero."""
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape)) + 1


def arrays_for(x: Array) -> tuple[Array, Array, Array]:
    return x, normal(x.shape[-1], seed=1), normal(x.shape[-1], seed=2)


def expected_of(arrays: tuple[Array, ...], eps: float = 1e-5) -> Expectation:
    return expectation(lambda x, w, b: F.layer_norm(x, w.shape, w, b, eps), *arrays)


def check_values_and_gradients(part: ModuleType) -> None:
    """Values and all three gradients in float64, for several numbers of features"""
    cases = [arrays_for(normal(4, C)) for C in (2, 3, 16, 100)]
    expected = [expected_of(case) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        what = f"the output for {len(case[1])} features"
        assert_operation(part.layer_norm, want, what=what, names=NAMES)


def check_last_axis(part: ModuleType) -> None:
    """Any leading axes, also none and strided ones: each vector on its own"""
    rows = normal(6, 6) * 10.0 ** np.arange(6)[:, None]
    cases = [arrays_for(x) for x in (rows, rows[2], rows.reshape(2, 3, 6), rows.T, rows[::2, ::2])]
    expected = [expected_of(case) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        what = f"the output for x of shape {case[0].shape} and strides {case[0].strides}"
        assert_operation(part.layer_norm, want, what=what, names=NAMES)


def check_eps(part: ModuleType) -> None:
    """eps is added to the variance, as small vectors show; equal features give the bias"""
    small = arrays_for(np.stack([normal(8) * scale for scale in (1e-3, 1e-2, 1.0)]))
    sizes = (1e-5, 1e-2, 1.0)
    expected = [expected_of(small, eps) for eps in sizes]
    assert_operation(part.layer_norm, expected[0], what="for the default eps", names=NAMES)
    for eps, want in zip(sizes, expected, strict=True):
        call = lambda x, w, b, eps=eps: part.layer_norm(x, w, b, eps)  # noqa: E731
        assert_operation(call, want, what=f"the output for eps={eps}", names=NAMES)
    bias = normal(4, seed=2)
    got = part.layer_norm(Tensor(np.full((2, 4), 7.0)), Tensor(normal(4)), Tensor(bias))
    assert_close(got.data, np.stack([bias, bias]), rtol=1e-12, atol=1e-12, what="the output for "
                 "equal features, of which nothing is left but the bias,")  # fmt: skip


def check_invariance(part: ModuleType) -> None:
    """Shifting and scaling a vector changes nothing; the gradient is at right angles to both"""
    x, ones, zeros = normal(3, 8), np.ones(8), np.zeros(8)

    def output(values: Array) -> Array:
        result: Array = part.layer_norm(Tensor(values), Tensor(ones), Tensor(zeros), 0.0).data
        return result

    what = "the output for 5 x + 3, with eps=0, which is that for x,"
    assert_close(output(5 * x + 3), output(x), what=what, rtol=1e-9, atol=1e-12)
    leaf = Tensor(x, requires_grad=True)
    y = part.layer_norm(leaf, Tensor(ones), Tensor(zeros), 0.0)
    y.backward(normal(3, 8, seed=3))
    gradient = leaf.grad if leaf.grad is not None else np.full_like(x, np.nan)
    what = "the gradient's sum over the features"
    assert_close(gradient.sum(axis=-1), np.zeros(3), what=what, rtol=0, atol=1e-12)
    what = "the gradient's product with x"
    assert_close((gradient * x).sum(axis=-1), np.zeros(3), what=what, rtol=0, atol=1e-11)


def check_large_mean(part: ModuleType) -> None:
    """float32 values far from zero: the mean is taken off before squaring"""
    x = (normal(4, 64) + 3000).astype(np.float32)
    arrays = x, np.ones(64, np.float32), np.zeros(64, np.float32)
    want = expected_of(arrays).output
    got = part.layer_norm(*(Tensor(array) for array in arrays)).data
    assert_close(got, want, what="the output for values around 3000", rtol=1e-2, atol=2e-3)


def check_float32(part: ModuleType) -> None:
    """float32 stays float32"""
    arrays = tuple(array.astype(np.float32) for array in arrays_for(normal(4, 16)))
    want = expected_of(arrays)
    assert_operation(part.layer_norm, want, names=NAMES, rtol=1e-4)


def check_layer(part: ModuleType) -> None:
    """The layer: ones and zeros, trained; it computes with them as they are now"""
    layer = part.LayerNorm(6, eps=0.1)
    assert_close(layer.weight.data, np.ones(6, np.float32), what="the new weight", rtol=0, atol=0)
    assert_close(layer.bias.data, np.zeros(6, np.float32), what="the new bias", rtol=0, atol=0)
    assert_equal(len(layer.parameters()), 2, "the number of parameters")
    x, weight, bias = arrays_for(normal(2, 6))
    layer.weight, layer.bias = Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True)
    centred = x - x.mean(-1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.1) * weight + bias
    assert_close(layer(Tensor(x)).data, want, what="the layer's output", rtol=1e-9, atol=1e-12)


def check_bad_input(part: ModuleType) -> None:
    """Sizes that do not fit and a negative eps raise ValueError"""
    x, eight, one, nine = (Tensor(normal(*s)) for s in ((2, 8), (8,), (1,), (9,)))
    scalar = Tensor(1.0)
    assert_raises(ValueError, lambda: part.layer_norm(x, nine, nine), "8 features meet 9 weights")
    assert_raises(ValueError, lambda: part.layer_norm(x, one, eight), "the weight has one element")
    assert_raises(ValueError, lambda: part.layer_norm(x, eight, one), "the bias has one element")
    assert_raises(ValueError, lambda: part.layer_norm(scalar, one, one), "x has no axes")
    assert_raises(ValueError, lambda: part.layer_norm(x, eight, eight, -1e-6), "eps is negative")
    assert_raises(ValueError, lambda: part.LayerNorm(0), "features is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` vectors of 256 features."""
    x = Tensor(normal(size, 256).astype(np.float32), requires_grad=True)
    layer = part.LayerNorm(256)
    return lambda: layer(x).sum().backward()


SIZE = 256
