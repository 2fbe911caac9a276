"""Checks of `groundup.scratch.linear`. Oracle: torch's linear in float64."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch.nn.functional as F

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation
from groundup.scratch.tensor import Tensor

NAMES = ("x", "weight", "bias")


def normal(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def check_values_and_gradients(part: ModuleType) -> None:
    """Values and all three gradients in float64, for several sizes"""
    sizes = [(5, 3, 4), (1, 1, 1), (2, 7, 3), (6, 2, 9)]
    cases = [(normal(N, i), normal(o, i, seed=1), normal(o, seed=2)) for N, i, o in sizes]
    expected = [expectation(F.linear, *case) for case in cases]
    for (N, i, o), want in zip(sizes, expected, strict=True):
        what = f"the output for {N} rows of {i} features, and {o} outputs"
        assert_operation(part.linear, want, what=what, names=NAMES)


def check_leading_axes(part: ModuleType) -> None:
    """Any leading axes, also none and strided ones"""
    cases = [
        normal(3),
        normal(2, 5, 3),
        normal(2, 1, 4, 3),
        normal(3, 5).T,
        normal(4, 5, 6)[::2, :, ::2],
    ]
    weight, bias = normal(4, 3, seed=1), normal(4, seed=2)
    expected = [expectation(F.linear, x, weight, bias) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        what = f"the output for x of shape {x.shape} and strides {x.strides}"
        assert_operation(part.linear, want, what=what, names=NAMES)


def check_without_bias(part: ModuleType) -> None:
    """Without a bias"""
    want = expectation(F.linear, normal(5, 3), normal(4, 3, seed=1))
    assert_operation(part.linear, want, names=NAMES[:2])


def check_float32(part: ModuleType) -> None:
    """float32 stays float32"""
    arrays = [a.astype(np.float32) for a in (normal(5, 3), normal(4, 3, seed=1), normal(4))]
    want = expectation(F.linear, *arrays)
    assert_operation(part.linear, want, names=NAMES, rtol=1e-5)


def check_only_what_is_required(part: ModuleType) -> None:
    """No gradient where none is required, and none is computed"""
    x, weight = Tensor(normal(5, 3)), Tensor(normal(4, 3, seed=1), requires_grad=True)
    bias = Tensor(normal(4))
    y = part.linear(x, weight, bias)
    y.backward(np.ones((5, 4)))
    assert_equal((x.grad, bias.grad), (None, None), "the gradients of x and bias, which want none")
    assert_close(weight.grad, np.tile(x.data.sum(axis=0), (4, 1)), rtol=1e-9, atol=1e-12,
                 what="the gradient of the weight alone")  # fmt: skip
    y = part.linear(x, weight, bias)
    if y.backward_function is not None and len(y.inputs) == 3:  # one operation, as it should be
        shares = y.backward_function(np.ones((5, 4)))
        assert_equal(shares[0] is None, True, "that dx is not computed for an x without gradient")


def check_layer(part: ModuleType) -> None:
    """The layer: shapes, float32, zeros for the bias, weights of variance 2 / inputs"""
    layer = part.Linear(400, 300, rng=np.random.default_rng(0))
    weight, bias = layer.weight, layer.bias
    assert_equal((weight.shape, str(weight.dtype)), ((300, 400), "float32"), "shape and dtype of "
                 "the weight")  # fmt: skip
    assert_close(bias.data, np.zeros(300, np.float32), what="the new bias", rtol=0, atol=0)
    assert_equal((weight.requires_grad, bias.requires_grad), (True, True), "requires_grad of both")
    assert_equal(len(layer.parameters()), 2, "the number of parameters")
    variance = float(weight.data.astype(float).var()) * 400
    if not 1.95 < variance < 2.05:  # 14 standard errors
        raise CheckFailure(
            f"the weights have variance {variance:.3f} / inputs: expected 2 / inputs"
        )
    same, other = (part.Linear(3, 2, rng=np.random.default_rng(seed)) for seed in (5, 6))
    again = part.Linear(3, 2, rng=np.random.default_rng(5))
    assert_close(again.weight.data, same.weight.data, rtol=0, atol=0, what="the weight of an equal "
                 "generator")  # fmt: skip
    if (same.weight.data == other.weight.data).all():
        raise CheckFailure("the weight does not depend on the generator")
    assert_equal(part.Linear(3, 2, rng=np.random.default_rng(0), bias=False).bias, None, "the bias "
                 "of a layer without one")  # fmt: skip


def check_layer_output(part: ModuleType) -> None:
    """The layer computes with its weight and bias as they are now"""
    x, weight, bias = normal(5, 3), normal(4, 3, seed=1), normal(4, seed=2)
    with_bias = x @ weight.T + bias
    layer = part.Linear(3, 4, rng=np.random.default_rng(0))
    layer.weight, layer.bias = Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True)
    assert_close(layer(Tensor(x)).data, with_bias, rtol=1e-9, atol=1e-12)
    layer.bias = None
    assert_close(layer(Tensor(x)).data, with_bias - bias, rtol=1e-9, atol=1e-12, what="the output "
                 "without bias")  # fmt: skip


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit raise ValueError"""
    x, weight, bias = Tensor(normal(5, 3)), Tensor(normal(4, 3)), Tensor(normal(4))
    wrong = Tensor(normal(1))
    flat = Tensor(normal(3))
    assert_raises(ValueError, lambda: part.linear(x, Tensor(normal(4, 2))), "x has 3 features, and "
                  "the weight takes 2")  # fmt: skip
    assert_raises(ValueError, lambda: part.linear(x, flat), "the weight has one axis")
    assert_raises(ValueError, lambda: part.linear(x, weight, wrong), "4 outputs have a bias of 1")
    assert_raises(ValueError, lambda: part.linear(Tensor(1.0), weight, bias), "x has no axes")
    rng = np.random.default_rng(0)
    assert_raises(ValueError, lambda: part.Linear(0, 3, rng=rng), "inputs is 0")
    assert_raises(ValueError, lambda: part.Linear(3, 0, rng=rng), "outputs is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` rows, 256 features each."""
    x = Tensor(normal(size, 256).astype(np.float32), requires_grad=True)
    layer = part.Linear(256, 256, rng=np.random.default_rng(0))
    return lambda: layer(x).sum().backward()


SIZE = 256
