"""Checks of `groundup.evaluation.pass_at_k`. Oracle: all choices, fractions, an identity."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from types import ModuleType

import torch

from groundup.course.grader.compare import assert_close, assert_raises


def float64(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def check_example(part: ModuleType) -> None:
    """3 samples, 1 of them right: a choice of 2 misses it once in three"""
    got = float64([part.pass_at_k(3, 1, 2)])
    assert_close(got, float64([2 / 3]), rtol=1e-9, atol=0, what="pass_at_k(3, 1, 2)")


def check_all_choices(part: ModuleType) -> None:
    """It is the share of all choices of k that hold a right one"""
    cases = [(n, c, k) for n in range(1, 8) for c in range(n + 1) for k in range(1, n + 1)]
    shares = []
    for n, c, k in cases:
        choices = list(itertools.combinations([True] * c + [False] * (n - c), k))
        shares.append(sum(map(any, choices)) / len(choices))
    got = [part.pass_at_k(*case) for case in cases]
    for case, value, share in zip(cases, got, shares, strict=True):
        assert_close(float64([value]), float64([share]), rtol=1e-9, atol=1e-12,
                     what=f"pass_at_k{case}")  # fmt: skip


def check_unbiased(part: ModuleType) -> None:
    """Its mean over all that may happen is the true 1 - (1 - p)^k"""
    n, k, p = 12, 5, 0.3
    chances = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    expected = float64([1 - (1 - p) ** k])
    got = sum(chance * part.pass_at_k(n, c, k) for c, chance in enumerate(chances))
    assert_close(float64([got]), expected, rtol=1e-9, atol=0, what="the mean for p = 0.3")


def check_many_samples(part: ModuleType) -> None:
    """Thousands of samples, whose binomials no float holds"""
    cases = [(5_000, 25, 100), (20_000, 1, 1_000), (10_000, 9_000, 10)]
    expected = [
        float(1 - Fraction(math.comb(n - c, k), math.comb(n, k))) for n, c, k in cases
    ]  # fmt: skip
    got = [part.pass_at_k(*case) for case in cases]
    assert_close(float64(got), float64(expected), rtol=1e-9, atol=0, what="pass@k of many samples")


def check_edges(part: ModuleType) -> None:
    """None right is 0; all right, or fewer wrong ones than k, is 1 exactly"""
    got = [part.pass_at_k(9, 0, 4), part.pass_at_k(9, 9, 1), part.pass_at_k(9, 7, 4)]
    assert_close(float64(got), float64([0, 1, 1]), rtol=0, atol=0, what="pass@k at its edges")


def check_bad_input(part: ModuleType) -> None:
    """k of 0 or above n, and more right ones than samples or fewer than none, raise ValueError"""
    for n, c, k in ((5, 2, 0), (5, 2, 6), (5, 2, -1), (0, 0, 1), (5, 6, 1), (5, -1, 1)):
        assert_raises(ValueError, partial(part.pass_at_k, n, c, k), f"n={n}, c={c}, k={k}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the problems of HumanEval, each with so many samples."""
    return lambda: [part.pass_at_k(size, right, 100) for right in range(164)]


SIZE = 200
