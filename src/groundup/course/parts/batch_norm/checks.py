"""Checks of `groundup.scratch.batch_norm`. Oracle: torch's batch norm in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
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
SHAPES = [(5, 3), (2, 3), (4, 2, 3), (2, 3, 4, 5), (1, 2, 3, 3)]


def normal(*shape: int, seed: int = 0) -> Array:
    return 1 + 2 * np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def arrays_for(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    return normal(*shape), normal(shape[1], seed=1), normal(shape[1], seed=2)


def in_training(arrays: tuple[Array, ...], eps: float = 1e-5) -> Expectation:
    return expectation(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=eps), *arrays
    )


def layer_call(part: ModuleType, **options: Any) -> Callable[..., Any]:
    """A new layer's output for x, with this weight and bias."""

    def call(x: Any, weight: Any, bias: Any) -> Any:
        layer = part.BatchNorm(len(weight), **options)
        layer.weight, layer.bias = weight, bias
        return layer(x)

    return call


def check_layer(part: ModuleType) -> None:
    """A new layer: ones and zeros, two parameters, four values in its state"""
    layer = part.BatchNorm(3)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    for name, got, want in (
        ("weight", layer.weight.data, ones),
        ("bias", layer.bias.data, zeros),
        ("running_mean", layer.running_mean, zeros),
        ("running_variance", layer.running_variance, ones),
    ):
        assert_close(got, want, what=f"the new {name}", rtol=0, atol=0)
    assert_equal(len(layer.parameters()), 2, "the number of parameters")
    names = ["bias", "running_mean", "running_variance", "weight"]
    assert_equal(sorted(layer.state()), names, "the sorted list of names in its state")


def check_training(part: ModuleType) -> None:
    """In training: values and all three gradients in float64, for x of two to four axes"""
    cases = [arrays_for(shape) for shape in SHAPES]
    expected = [in_training(case) for case in cases]
    for shape, want in zip(SHAPES, expected, strict=True):
        # Of two values in a channel nothing is left but their sign: the gradient is rounding.
        rtol = 1e-6 if shape == (2, 3) else 1e-9
        what = f"the output for x of shape {shape}"
        assert_operation(layer_call(part), want, what=what, names=NAMES, rtol=rtol)


def check_eps(part: ModuleType) -> None:
    """eps is added to the variance"""
    arrays = normal(6, 2) * 1e-2, *arrays_for((6, 2))[1:]
    sizes = (1e-5, 1e-3, 0.5)
    expected = [in_training(arrays, eps) for eps in sizes]
    for eps, want in zip(sizes, expected, strict=True):
        what = f"the output for eps={eps}"
        assert_operation(layer_call(part, eps=eps), want, what=what, names=NAMES)


def torch_running(batches: list[Array], momentum: float) -> tuple[Array, Array]:
    layer = torch.nn.BatchNorm1d(batches[0].shape[1], momentum=momentum).double()
    for batch in batches:
        layer(torch.tensor(batch))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean.numpy().copy(), layer.running_var.numpy().copy()


def check_running_values(part: ModuleType) -> None:
    """The running mean and variance after several batches, for several momenta"""
    batches = [normal(3, 2, 4, seed=seed) for seed in range(4)]
    momenta = (0.1, 0.5, 1.0, 0.0)
    expected = [torch_running(batches, momentum) for momentum in momenta]
    for momentum, (mean, variance) in zip(momenta, expected, strict=True):
        layer = part.BatchNorm(2, momentum=momentum)
        for batch in batches:
            layer(Tensor(batch))
        where = f"after four batches with momentum {momentum}"
        for name, want in (("running_mean", mean), ("running_variance", variance)):
            got = getattr(layer, name)
            what = f"the {name} {where}"
            assert_close(got, want.astype(np.float32), what=what, rtol=1e-5, atol=1e-6)


def check_after_training(part: ModuleType) -> None:
    """After training: the running values, as constants, whatever the batch"""
    mean, variance = normal(3, seed=5), normal(3, seed=6) ** 2
    cases = [(4, 3), (1, 3), (2, 3, 2, 2)]
    expected = [
        expectation(
            lambda x, w, b: F.batch_norm(x, torch.tensor(mean), torch.tensor(variance), w, b),
            *arrays_for(shape),
        )
        for shape in cases
    ]

    def call(x: Any, weight: Any, bias: Any) -> Any:
        layer = part.BatchNorm(3)
        layer.weight, layer.bias = weight, bias
        layer.running_mean, layer.running_variance = mean.copy(), variance.copy()
        layer.train(False)
        output = layer(x)
        same = bool(
            (layer.running_mean == mean).all() and (layer.running_variance == variance).all()
        )
        assert_equal(same, True, "that after training the running values stay")
        return output

    for shape, want in zip(cases, expected, strict=True):
        what = f"the output after training for x of shape {shape}"
        assert_operation(call, want, what=what, names=NAMES)


def check_switching(part: ModuleType) -> None:
    """A graph made in training is differentiated as such, whatever came between"""
    arrays = arrays_for((5, 3))
    want = in_training(arrays)
    x, weight, bias = (Tensor(array, requires_grad=True) for array in arrays)
    layer = part.BatchNorm(3)
    layer.weight, layer.bias = weight, bias
    output = layer(x)
    layer.train(False)
    layer(Tensor(normal(1, 3, seed=9)))
    output.backward(want.gradient)
    assert_close(x.grad, want.gradients[0], rtol=1e-9, atol=1e-12, what="the gradient of x, where "
                 "the layer was switched before backward,")  # fmt: skip


def check_float32(part: ModuleType) -> None:
    """float32 stays float32"""
    arrays = tuple(array.astype(np.float32) for array in arrays_for((4, 3, 5)))
    want = in_training(arrays)
    assert_operation(layer_call(part), want, names=NAMES, rtol=1e-4)


def check_bad_input(part: ModuleType) -> None:
    """Other channels, one value in a channel, and options out of range raise ValueError"""
    layer = part.BatchNorm(3)
    two, flat, one = Tensor(normal(4, 2)), Tensor(normal(3)), Tensor(normal(1, 3))
    assert_raises(ValueError, lambda: layer(two), "3 channels were expected, and x has 2")
    single = Tensor(normal(4, 1))
    assert_raises(ValueError, lambda: layer(single), "3 channels were expected, and x has 1")
    assert_raises(ValueError, lambda: layer(flat), "x has one axis")
    assert_raises(ValueError, lambda: layer(one), "in training a channel has a single value")
    layer.train(False)
    layer(one)
    assert_raises(ValueError, lambda: part.BatchNorm(0), "channels is 0")
    assert_raises(ValueError, lambda: part.BatchNorm(3, momentum=1.5), "momentum is 1.5")
    assert_raises(ValueError, lambda: part.BatchNorm(3, momentum=-0.1), "momentum is -0.1")
    assert_raises(ValueError, lambda: part.BatchNorm(3, eps=-1e-5), "eps is -1e-5")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` images of 16 channels, 14×14."""
    x = Tensor(normal(size, 16, 14, 14).astype(np.float32), requires_grad=True)
    layer = part.BatchNorm(16)
    return lambda: layer(x).sum().backward()


SIZE = 16
