"""Checks of `groundup.scratch.softmax`. Oracle: torch's in float64."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from groundup.course.grader.compare import assert_close
from groundup.course.grader.scratch_operation import (
    Array,
    Expectation,
    assert_operation,
    expectation,
)
from groundup.scratch.tensor import Tensor

NAMES = ("softmax", "log_softmax")


def normal(*shape: int) -> Array:
    return np.asarray(np.random.default_rng([*shape]).standard_normal(shape))


def compare(part: ModuleType, cases: dict[str, Array], *names: str, rtol: float = 1e-9) -> None:
    """Values and gradients of these functions."""
    expected: dict[tuple[str, str], Expectation] = {}
    for name in names:
        function = lambda x, name=name: getattr(torch, name)(x, dim=-1)  # noqa: E731
        expected |= {(name, case): expectation(function, x) for case, x in cases.items()}
    for (name, case), want in expected.items():
        what = f"{name} of {case}"
        assert_operation(getattr(part, name), want, what=what, names=("x",), rtol=rtol)


def shapes() -> dict[str, Array]:
    cases = {f"shape {shape}": normal(*shape) for shape in ((4,), (3, 5), (2, 3, 7), (2, 1, 4, 3))}
    return cases | {"one score": normal(2, 1), "a transposed array": normal(5, 3).T}


def check_softmax(part: ModuleType) -> None:
    """softmax: values and gradients over the last axis, for any leading ones"""
    compare(part, shapes(), "softmax")


def check_log_softmax(part: ModuleType) -> None:
    """log_softmax: values and gradients over the last axis, for any leading ones"""
    compare(part, shapes(), "log_softmax")


def check_large_scores(part: ModuleType) -> None:
    """Scores of any size neither overflow nor vanish, also side by side"""
    one = np.array([[1000.0, 1001.0, 999.0], [-1000.0, -1002.0, -1000.0]])
    cases = {"scores about 1,000 and -1,000": one, "far apart": np.array([0.0, 800.0, -800.0])}
    compare(part, cases, *NAMES)


def check_unlikely(part: ModuleType) -> None:
    """log_softmax of what has next to no probability is no minus infinity"""
    scores = np.array([[0.0, -900.0, -2000.0]])
    want = np.array([[0.0, -900.0, -2000.0]])  # log(1 + e^-900) is 0 in float64
    got = part.log_softmax(Tensor(scores))
    assert_close(got.data, want, rtol=1e-12, atol=0, what="log_softmax of 0, -900 and -2,000")


def check_hidden_scores(part: ModuleType) -> None:
    """softmax: a score of minus infinity gets 0, and the others share"""
    hidden = np.array([[0.5, -np.inf, 1.5], [2.0, 1.0, 0.0]])
    compare(part, {"scores with minus infinity": hidden}, "softmax")


def check_sums(part: ModuleType) -> None:
    """Probabilities sum to 1, and a constant added to all scores changes nothing"""
    x, ones = normal(6, 9), np.ones(6)
    y = part.softmax(Tensor(x)).data
    assert_close(y.sum(axis=-1), ones, rtol=1e-12, atol=0, what="the sums of probabilities")
    moved = part.softmax(Tensor(x + 50)).data
    assert_close(moved, y.copy(), rtol=1e-9, atol=0, what="softmax of scores with 50 added")


def check_float32(part: ModuleType) -> None:
    """float32 in, float32 out"""
    compare(part, {"float32": normal(4, 6).astype(np.float32)}, *NAMES, rtol=1e-5)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` vectors of 1,000 scores."""
    x = Tensor(normal(size, 1000).astype(np.float32), requires_grad=True)
    g = normal(size, 1000).astype(np.float32)
    return lambda: part.softmax(x).backward(g)


SIZE = 200
