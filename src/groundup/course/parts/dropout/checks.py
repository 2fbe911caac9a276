"""Checks of `groundup.scratch.dropout`. Oracles: statistics of the draws, the mask they show."""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.course.grader.scratch_operation import Array
from groundup.scratch.tensor import Tensor

EXACT = {"rtol": 1e-12, "atol": 0.0}


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(*shape: int) -> Array:
    """Values that are not zero."""
    values = np.random.default_rng([9, *shape]).standard_normal(shape)
    return np.asarray(values + np.copysign(0.1, values))


def check_values(part: ModuleType) -> None:
    """Each element is 0, or divided by 1 - p"""
    x = normal(200, 50)
    for p in (0.1, 0.5, 0.9):
        y = part.dropout(Tensor(x), p, generator()).data
        assert_close(y, np.where(y == 0, 0, x / (1 - p)), what=f"the output for p={p}", **EXACT)
        if not 0 < (y == 0).sum() < y.size:
            raise CheckFailure(f"for p={p}, {(y == 0).sum()} of {y.size:,} elements are 0")


def check_share(part: ModuleType) -> None:
    """A share p is missing, so that the mean stays"""
    ones = np.ones((400, 500))
    for p in (0.05, 0.3, 0.8):
        y = part.dropout(Tensor(ones), p, generator(1)).data
        missing = float((y == 0).mean())
        error = math.sqrt(p * (1 - p) / y.size)
        if abs(missing - p) > 6 * error:  # of a billion right solutions, two would fail
            raise CheckFailure(f"for p={p} a share of {missing:.4f} is missing, give or take "
                               f"{error:.4f}: expected {p}")  # fmt: skip
        if abs(float(y.mean()) - 1) > 6 * error / (1 - p):
            raise CheckFailure(f"for p={p} the mean of ones became {y.mean():.4f}: expected 1")


def check_independent(part: ModuleType) -> None:
    """Every element is drawn on its own: no row, column or call like another"""
    rng = generator(2)
    masks = [part.dropout(Tensor(np.ones((300, 300))), 0.5, rng).data == 0 for _ in range(2)]
    shares = {
        "rows": masks[0].mean(axis=1),
        "columns": masks[0].mean(axis=0),
        "neighbouring elements": np.array([(masks[0][:, 1:] == masks[0][:, :-1]).mean()]),
        "two calls": np.array([(masks[0] == masks[1]).mean()]),
    }
    for name, share in shares.items():
        if abs(share - 0.5).max() > 0.2:
            worst = share[abs(share - 0.5).argmax()]
            raise CheckFailure(
                f"{name} are not drawn independently: of one, {worst:.0%} are missing or equal"
            )


def check_generator(part: ModuleType) -> None:
    """Equal generators drop the same elements, others others"""
    ones = Tensor(np.ones((50, 50)))
    first, again, other = (part.dropout(ones, 0.5, generator(s)).data for s in (1, 1, 2))
    assert_close(again, first, what="the output for an equal generator", **EXACT)
    assert_equal(bool((other == first).all()), False, "that another generator drops the same")


def check_gradient(part: ModuleType) -> None:
    """The gradient passes the same elements, with the same factor"""
    data, g = normal(20, 30), np.random.default_rng(3).standard_normal((20, 30))
    x = Tensor(data, requires_grad=True)
    y = part.dropout(x, 0.25, generator())
    mask = (y.data != 0) / 0.75
    y.backward(g)
    assert_close(x.grad, g * mask, what="the gradient", **EXACT)


def check_zero(part: ModuleType) -> None:
    """With p = 0 nothing changes"""
    x = normal(4, 5)
    assert_close(part.dropout(Tensor(x), 0.0, generator()).data, x, rtol=0, atol=0)


def check_shapes_and_dtypes(part: ModuleType) -> None:
    """Any shape and stride; the dtype stays"""
    for dtype in (np.float16, np.float32, np.float64):
        for x in (normal(5), normal(2, 3, 4), normal(6, 4).T, normal(6, 4)[::2, ::3]):
            y = part.dropout(Tensor(x.astype(dtype)), 0.5, generator()).data
            assert_equal((y.shape, y.dtype), (x.shape, np.dtype(dtype)), "shape and dtype")
    alone = part.dropout(Tensor(np.float64(3.0)), 0.5, generator()).data
    assert_equal(alone.shape, (), "the shape of an output without axes")


def check_layer(part: ModuleType) -> None:
    """The layer drops in training, anew at each call, and does nothing afterwards"""
    x = Tensor(normal(40, 50))
    layer = part.Dropout(0.5, rng=generator(4))
    first, second = layer(x).data, layer(x).data
    expected = part.dropout(x, 0.5, generator(4)).data
    assert_close(first, expected, what="the layer's output, which is that of dropout,", **EXACT)
    assert_equal(bool((first == second).all()), False, "that a second call drops the same")
    layer.train(False)
    assert_close(layer(x).data, x.data, what="the output after training", rtol=0, atol=0)
    layer.train()
    assert_equal(bool((layer(x).data == 0).any()), True, "that it drops in training again")


def check_input_unchanged(part: ModuleType) -> None:
    """x is not changed"""
    x = normal(20, 30)
    with unchanged(x=x):
        part.dropout(Tensor(x, requires_grad=True), 0.5, generator()).sum().backward()


def check_bad_input(part: ModuleType) -> None:
    """A p that is not from 0 to less than 1 raises ValueError"""
    x = Tensor(normal(3))
    part.dropout(x, 0.99, generator())
    for p in (1.0, 1.5, -0.1, float("nan")):
        assert_raises(ValueError, partial(part.dropout, x, p, generator()), f"dropout's p is {p}")
        layer = partial(part.Dropout, p, rng=generator())
        assert_raises(ValueError, layer, f"the layer's p is {p}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` vectors of 256 features."""
    x = Tensor(normal(size, 256).astype(np.float32), requires_grad=True)
    rng = generator()
    return lambda: part.dropout(x, 0.5, rng).sum().backward()


SIZE = 256
