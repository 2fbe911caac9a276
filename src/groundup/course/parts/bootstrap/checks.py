"""Checks of `groundup.evaluation.bootstrap`. Oracle: NumPy on the draws that it has to make."""

import itertools
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch

from groundup.course.grader.compare import CheckFailure, assert_close, assert_raises

RANDOM = np.random.default_rng(11)
VALUES = RANDOM.exponential(size=23)
WEIGHTS = RANDOM.uniform(0.5, 9, size=23)


def oracle(values: np.ndarray, weights: np.ndarray | None, resamples: int, seed: int) -> np.ndarray:
    """The mean of each draw, one after the other."""
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    return np.array([np.average(values[d], weights=weights if weights is None else weights[d])
                     for d in draws])  # fmt: skip


def interval(got: object, what: str) -> torch.Tensor:
    if not isinstance(got, tuple) or len(got) != 2:
        raise CheckFailure(f"{what} is {got!r}: expected its two ends")
    return torch.tensor([float(end) for end in got], dtype=torch.float64)


def check_means(part: ModuleType) -> None:
    """Means of the draws, in their order"""
    expected = oracle(VALUES, None, 50, 7)
    got = part.bootstrap_means(VALUES, resamples=50, seed=7)
    assert_close(got, expected, rtol=1e-12, atol=1e-12, what="the means")


def check_weights(part: ModuleType) -> None:
    """Weights are drawn along with their values, and divide"""
    expected = oracle(VALUES, WEIGHTS, 50, 3)
    got = part.bootstrap_means(VALUES, WEIGHTS, resamples=50, seed=3)
    assert_close(got, expected, rtol=1e-12, atol=1e-12, what="the weighted means")


def check_all_resamples(part: ModuleType) -> None:
    """Of three items, every one of the 27 resamples comes as often as the others"""
    values = np.array([0.0, 1.0, 10.0])
    every = [round(sum(drawn) / 3, 9) for drawn in itertools.product(values, repeat=3)]
    kinds, counts = np.unique(every, return_counts=True)
    expected = torch.tensor(counts / 27)
    means = np.asarray(part.bootstrap_means(values, resamples=20_000, seed=1)).round(9)
    shares = torch.tensor([float((means == kind).mean()) for kind in kinds], dtype=torch.float64)
    assert_close(shares, expected, rtol=0, atol=0.015, what="how often each mean comes")


def check_interval(part: ModuleType) -> None:
    """The interval holds the middle of the means: as much is left out below as above"""
    for confidence in (0.95, 0.8, 0.5):
        means = oracle(VALUES, None, 400, 5)
        tail = 50 * (1 - confidence)
        expected = torch.tensor(np.percentile(means, [tail, 100 - tail]))
        got = part.bootstrap_interval(VALUES, confidence=confidence, resamples=400, seed=5)
        what = f"the interval of {confidence}"
        assert_close(interval(got, what), expected, rtol=1e-9, atol=1e-12, what=what)


def check_weighted_interval(part: ModuleType) -> None:
    """The interval heeds weights, and its default is 95 %"""
    means = oracle(VALUES, WEIGHTS, 300, 0)
    expected = torch.tensor(np.percentile(means, [2.5, 97.5]))
    got = part.bootstrap_interval(VALUES, WEIGHTS, resamples=300)
    assert_close(interval(got, "it"), expected, rtol=1e-9, atol=1e-12, what="the interval")


def check_lists(part: ModuleType) -> None:
    """Lists of whole numbers will do, and one item as well"""
    expected = oracle(np.array([0.0, 1, 1, 0]), None, 20, 0), np.full(5, 3.0)
    got = part.bootstrap_means([0, 1, 1, 0], resamples=20)
    assert_close(got, expected[0], rtol=1e-12, atol=0, what="the means of a list")
    got = part.bootstrap_means([3], resamples=5)
    assert_close(got, expected[1], rtol=1e-12, atol=0, what="the means of one item")


def check_bad_input(part: ModuleType) -> None:
    """No items, NaN, weights of 0 or of another number, and a confidence of 1, raise ValueError"""
    cases = {
        "no items": ([], None),
        "NaN": ([1.0, float("nan")], None),
        "infinity": ([1.0, float("inf")], None),
        "two axes": ([[1.0, 2.0]], None),
        "a weight of 0": ([1.0, 2.0], [1.0, 0.0]),
        "a weight that is NaN": ([1.0, 2.0], [1.0, float("nan")]),
        "one weight for two items": ([1.0, 2.0], [1.0]),
    }
    for what, (values, weights) in cases.items():
        assert_raises(ValueError, partial(part.bootstrap_means, values, weights), what)
    for confidence in (0.0, 1.0, 95.0):
        call = partial(part.bootstrap_interval, [1.0, 2.0], confidence=confidence)
        assert_raises(ValueError, call, f"a confidence of {confidence:g}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: so many questions, 1,000 resamples."""
    values = np.random.default_rng(0).integers(2, size=size)
    return lambda: part.bootstrap_interval(values, resamples=1000)


SIZE = 1319
