"""Checks of `groundup.scratch.gradient_check`. Oracles: derivatives known by formula."""

import math
from collections.abc import Callable
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
from groundup.scratch.elementwise import exp, relu, tanh
from groundup.scratch.tensor import Tensor, record

NEAR = {"rtol": 1e-8, "atol": 1e-9}


def normal(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def between(error: object, low: float, high: float, what: str) -> None:
    if not isinstance(error, float):
        raise CheckFailure(f"{what} is of type {type(error).__name__}: expected a float")
    if not low <= error <= high:
        raise CheckFailure(f"{what} is {error:.3g}: expected {low:g} to {high:g}")


def check_slopes(part: ModuleType) -> None:
    """Slopes of functions whose derivative is known, for arrays of any shape"""
    for shape in ((), (1,), (4,), (2, 3), (2, 1, 3)):
        x, w = normal(*shape), normal(*shape, seed=1)
        for name, function, want in (
            ("sum(w · x)", lambda a, w=w: float((w * a).sum()), w),
            ("sum(x³)", lambda a: float((a**3).sum()), 3 * x**2),
            ("sum(sin(x))", lambda a: float(np.sin(a).sum()), np.cos(x)),
            ("prod(exp(x))", lambda a: float(np.exp(a.sum())), np.full(shape, np.exp(x.sum()))),
        ):
            what = f"the slope of {name} for shape {shape}"
            got = part.numerical_gradient(function, x)
            assert_close(got, np.asarray(want), what=what, rtol=1e-7, atol=1e-8)


def check_central(part: ModuleType) -> None:
    """The difference is central: exact for a parabola, off by step² for a cube"""
    x = np.array([1.0, -2.0])
    parabola = part.numerical_gradient(lambda a: float((a**2).sum()), x, 0.25)
    assert_close(parabola, 2 * x, what="the slope of x² for step 0.25", rtol=1e-12, atol=0)
    cube = part.numerical_gradient(lambda a: float((a**3).sum()), x, 0.25)
    assert_close(cube, 3 * x**2 + 0.25**2, what="the slope of x³ for step 0.25, which central "
                 "differences overestimate by step²,", rtol=1e-12, atol=0)  # fmt: skip


def check_calls(part: ModuleType) -> None:
    """Each element is moved alone, up and down by the step, from where it was"""
    x = np.array([[10.0, 20.0]])
    seen: list[list[float]] = []

    def function(moved: Array) -> float:
        seen.append(np.asarray(moved - x).ravel().round(12).tolist())
        return 0.0

    part.numerical_gradient(function, x, 0.5)
    moves = sorted(move for move in seen if any(move))
    want = [[-0.5, 0.0], [0.0, -0.5], [0.0, 0.5], [0.5, 0.0]]
    assert_equal(moves, want, "the sorted list of moves")


def check_point_stays(part: ModuleType) -> None:
    """x is as it was, also where the function raises; strided x too"""
    x = normal(3, 4).T[::2]
    with unchanged(x=x):
        got = part.numerical_gradient(lambda a: float((a * a).sum()), x)
    assert_close(got, 2 * x, what="the slope for a strided x", **NEAR)
    before = x.copy()

    def raising(moved: Array) -> float:
        raise ArithmeticError("planted")

    try:
        part.numerical_gradient(raising, x)
    except ArithmeticError:
        assert_close(x, before, what="x after the function raised", rtol=0, atol=0)
    else:
        raise CheckFailure("an error of the function should come through")


def check_right_gradients(part: ModuleType) -> None:
    """Right gradients have an error below 1e-7, of one input and of several"""
    one = part.gradient_error(lambda x: (exp(x) * tanh(x)).sum(), normal(3, 4))
    between(one, 0.0, 1e-7, "the error of sum(exp(x) tanh(x))")
    two = part.gradient_error(lambda x, y: (x @ y + y).sum(), normal(3, 3), normal(3, 3, seed=1))
    between(two, 0.0, 1e-7, "the error of sum(x @ y + y)")
    constant = part.gradient_error(lambda x: (x * 0).sum(), normal(3))
    between(constant, 0.0, 0.0, "the error where both gradients are zero")
    unused = part.gradient_error(lambda x, y: (x * x).sum(), normal(3), normal(2))
    between(unused, 0.0, 1e-7, "the error where an input is not used")


def wrong(factor: float, offset: float = 0.0) -> Callable[[Tensor], Tensor]:
    """The sum of squares, with a gradient that is wrong."""
    return lambda x: record(
        (x.data**2).sum(), (x,), lambda g: (g * (2 * x.data * factor + offset),)
    )


def check_wrong_gradients(part: ModuleType) -> None:
    """Wrong gradients are told by the size of their error, as the norms have it"""
    x = np.array([3.0, 4.0])
    double = part.gradient_error(wrong(2.0), x)
    between(double, 1 / 3 - 1e-6, 1 / 3 + 1e-6, "the error of a gradient twice too large")
    turned = part.gradient_error(wrong(-1.0), x)
    between(turned, 1 - 1e-6, 1.0, "the error of a gradient of the other sign")
    nothing = part.gradient_error(wrong(0.0), x)
    between(nothing, 1 - 1e-6, 1.0, "the error of a gradient of zeros")
    tenth = math.sqrt(2) * 0.1 / (10 + math.sqrt(6.1**2 + 8.1**2))
    little = part.gradient_error(wrong(1.0, 0.1), x)
    between(little, tenth - 1e-6, tenth + 1e-6, "the error of a gradient that is 0.1 off")


def check_worst_input(part: ModuleType) -> None:
    """The largest error of all inputs counts, wherever it is"""
    good, bad = normal(3), np.array([3.0, 4.0])
    first = part.gradient_error(lambda x, y: wrong(2.0)(x) + y.sum(), bad, good)
    last = part.gradient_error(lambda x, y: x.sum() + wrong(2.0)(y), good, bad)
    for name, error in (("first", first), ("last", last)):
        what = f"the error where the {name} input's gradient is twice too large"
        between(error, 1 / 3 - 1e-6, 1 / 3 + 1e-6, what)
    nan = part.gradient_error(wrong(float("nan")), bad)
    if nan != float("inf"):
        raise CheckFailure(f"the error of a gradient of NaN is {nan}: expected infinity")


def check_bend(part: ModuleType) -> None:
    """At the bend of a ReLU both disagree, and within the step of it"""
    at = part.gradient_error(lambda x: relu(x).sum(), np.array([0.0]))
    between(at, 0.999, 1.0, "the error of ReLU at 0, where the slope is 0 or a half,")
    near = part.gradient_error(lambda x: relu(x).sum(), np.array([0.001]), step=0.01)
    between(near, 0.2, 0.4, "the error of ReLU at 0.001 for step 0.01")
    away = part.gradient_error(lambda x: relu(x).sum(), np.array([0.001]))
    between(away, 0.0, 1e-7, "the error of ReLU at 0.001")


def check_inputs_unchanged(part: ModuleType) -> None:
    """The inputs of gradient_error stay as they are"""
    x, y = normal(3), normal(3, seed=1)
    with unchanged(x=x, y=y):
        part.gradient_error(lambda x, y: (x * y).sum(), x, y)


def check_bad_input(part: ModuleType) -> None:
    """float32, a step that is not positive, and several numbers raise ValueError"""
    x = normal(3)
    single = x.astype(np.float32)
    square = lambda a: float((a * a).sum())  # noqa: E731
    assert_raises(ValueError, lambda: part.numerical_gradient(square, single), "x is float32")
    assert_raises(ValueError, lambda: part.numerical_gradient(square, x, 0.0), "step is 0")
    assert_raises(ValueError, lambda: part.numerical_gradient(square, x, -1e-5), "step is -1e-5")
    assert_raises(ValueError, lambda: part.gradient_error(lambda x: x * x, x), "three numbers")
    assert_raises(
        ValueError, lambda: part.gradient_error(lambda x: (x * x).sum(), single), "float32 inputs"
    )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the slopes in ``size`` elements."""
    x = normal(size)
    return lambda: part.numerical_gradient(lambda a: float(a @ a), x)


SIZE = 500
