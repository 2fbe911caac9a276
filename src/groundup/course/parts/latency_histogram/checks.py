"""Checks of `groundup.serving.latency_histogram`. Oracles: NumPy's quantiles, and the rules."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

NAN, INFINITY = math.nan, math.inf


def filled(part: ModuleType, bounds: Sequence[float], values: Sequence[float]) -> Any:
    histogram = part.LatencyHistogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram


def near(got: object, want: float, what: str, tolerance: float = 1e-9) -> None:
    if not isinstance(got, float):
        raise CheckFailure(f"{what} is of type {type(got).__name__}: expected a float")
    same = (math.isnan(got) and math.isnan(want)) or got == want or abs(got - want) <= tolerance
    if not same:
        raise CheckFailure(f"{what} is {got!r}: expected {want!r}")


def interpolated(q: float, bounds: Sequence[float], values: Sequence[float]) -> float:
    """The rules of a positive, occupied histogram: the inverse of a line through its corners."""
    ends = [sum(value <= bound for value in values) for bound in bounds]
    corners = [(0.0, 0), *zip(bounds, ends, strict=True)]
    rank = q * len(values)
    if rank > ends[-1]:
        return bounds[-1]
    at = next(i for i in range(1, len(corners)) if corners[i][1] >= rank)
    (x0, y0), (x1, y1) = corners[at - 1], corners[at]
    return float(np.interp(rank, [y0, y1], [x0, x1]))


def check_buckets(part: ModuleType) -> None:
    """An observation at a bound belongs to that bound's bucket, and none is lost"""
    values = [-1.0, 0.0, 0.1, 0.100001, 0.2, 0.35, 0.4, 0.40001, 7.0, INFINITY]
    bounds = [0.1, 0.2, 0.4]
    expected = [sum(v <= bound for v in values) for bound in bounds] + [len(values)]
    histogram = filled(part, bounds, values)
    assert_equal(histogram.cumulative, expected, f"the list cumulative of {values}")
    assert_equal(histogram.count, 10, "count")
    assert_equal(histogram.bounds, (0.1, 0.2, 0.4), "bounds")
    histogram = filled(part, bounds, values[:-1])
    near(histogram.sum, math.fsum(values[:-1]), "sum")
    histogram.cumulative.append(3)
    assert_equal(histogram.cumulative, [*expected[:-1], 9], "cumulative, after a change of a copy")


def check_several_at_once(part: ModuleType) -> None:
    """observe counts a value as often as it is told"""
    values = [0.1, *[0.15] * 5, 0.2, *[3.0] * 3]
    one_by_one = [sum(v <= bound for v in values) for bound in (0.1, 0.2, 0.4)] + [len(values)]
    histogram = part.LatencyHistogram([0.1, 0.2, 0.4])
    histogram.observe(0.1)
    histogram.observe(0.15, 5)
    histogram.observe(0.2, 1)
    histogram.observe(3.0, count=3)
    for _ in range(2):
        assert_equal(histogram.cumulative, one_by_one, f"the list cumulative of {values}")
        near(histogram.sum, math.fsum(values), "sum")
        assert_raises(ValueError, partial(histogram.observe, 0.3, 0), "no observation")
        assert_raises(ValueError, partial(histogram.observe, 0.3, -2), "fewer than none")


def check_empty(part: ModuleType) -> None:
    """A new histogram has the default bounds, no observations, and NaN for every quantile"""
    histogram = part.LatencyHistogram()
    assert_equal([histogram.count, histogram.sum], [0, 0.0], "count and sum")
    assert_equal(histogram.cumulative, [0] * (len(histogram.bounds) + 1), "cumulative")
    if not (len(histogram.bounds) >= 10 and histogram.bounds[0] < 0.02 < 60 < histogram.bounds[-1]):
        raise CheckFailure(f"the default bounds {histogram.bounds} do not cover 20 ms to 60 s")
    for q, want in {0.0: NAN, 0.5: NAN, 1.0: NAN, -1.0: -INFINITY, 2.0: INFINITY}.items():
        near(histogram.quantile(q), want, f"quantile({q}) of an empty histogram")


def check_interpolation(part: ModuleType) -> None:
    """quantile: a straight line inside the bucket, worked out by hand"""
    histogram = filled(part, [1.0, 2.0, 4.0], [0.5] * 2 + [1.5] * 4 + [3.0] * 4)
    by_hand = {
        0.1: 0.5,  # rank 1 of the 2 from 0 to 1
        0.2: 1.0,
        0.3: 1.25,  # rank 3: one of the four from 1 to 2
        0.5: 1.75,
        0.6: 2.0,
        0.8: 3.0,
        0.95: 3.75,
        1.0: 4.0,
    }
    for q, want in by_hand.items():
        near(histogram.quantile(q), want, f"quantile({q}) of 2, 4, 4 observations up to 1, 2, 4")


def check_random_histograms(part: ModuleType) -> None:
    """quantile: random histograms, against NumPy's interpolation"""
    rng = np.random.default_rng(0)
    for case in range(40):
        bounds = np.sort(rng.uniform(0.1, 10, rng.integers(1, 12))).tolist()
        values = rng.gamma(2.0, 1.5, rng.integers(1, 200)).tolist()
        values += [bounds[0] / 2]
        expected = {q: interpolated(q, bounds, values) for q in (0.01, 0.25, 0.5, 0.9, 0.99, 1.0)}
        histogram = filled(part, bounds, values)
        for q, want in expected.items():
            near(
                histogram.quantile(q), want, f"case {case} with the bounds {bounds}: quantile({q})"
            )


def check_fine_buckets(part: ModuleType) -> None:
    """quantile: with fine buckets it is NumPy's quantile, to the width of a bucket"""
    rng = np.random.default_rng(1)
    values = rng.lognormal(-1.0, 0.5, 5000)
    bounds = (np.arange(1, 4000) / 500).tolist()
    expected = {
        q: float(np.quantile(values, q, method="inverted_cdf")) for q in (0.05, 0.5, 0.95, 0.99)
    }
    histogram = filled(part, bounds, values.tolist())
    for q, want in expected.items():
        near(histogram.quantile(q), want, f"quantile({q}) with buckets of 2 ms", tolerance=0.002)


def check_edges(part: ModuleType) -> None:
    """quantile: the rules of Prometheus for the edges"""
    plain = filled(part, [1.0, 2.0], [0.5, 1.5])
    beyond = filled(part, [1.0, 2.0], [0.5, 1.5, 3.0, 9.0])
    only_beyond = filled(part, [1.0, 2.0], [3.0])
    gaps = filled(part, [1.0, 2.0, 3.0, 4.0], [1.5, 1.5, 3.5, 3.5])
    negative = filled(part, [-2.0, 0.0, 2.0], [-3.0, -1.0, 1.0, 1.5])
    zero = filled(part, [0.0, 2.0], [-1.0, 0.0, 1.0, 1.5])
    cases = [
        (plain, NAN, NAN, "q is NaN"),
        (plain, -0.001, -INFINITY, "q is below 0"),
        (plain, 1.001, INFINITY, "q is above 1"),
        (plain, -INFINITY, -INFINITY, "q is minus infinity"),
        (plain, 0.0, 0.0, "the first bucket begins at 0"),
        (plain, 1.0, 2.0, "the last observation's bucket ends at 2"),
        (beyond, 0.5, 2.0, "half are at most 2"),
        (beyond, 0.51, 2.0, "above the last bound it is the last bound"),
        (beyond, 1.0, 2.0, "above the last bound it is the last bound"),
        (only_beyond, 0.0, NAN, "the first bucket is empty"),
        (only_beyond, 0.5, 2.0, "all are above the last bound"),
        (gaps, 0.0, NAN, "the first bucket is empty"),
        (gaps, 0.25, 1.5, "half of the bucket from 1 to 2"),
        (gaps, 0.5, 2.0, "the rank is the end of the bucket from 1 to 2"),
        (gaps, 0.75, 3.5, "empty buckets are passed over"),
        (negative, 0.0, -2.0, "the first bound is below 0"),
        (negative, 0.2, -2.0, "the first bound is below 0"),
        (negative, 0.375, -1.0, "half of the bucket from -2 to 0"),
        (negative, 0.75, 1.0, "half of the bucket from 0 to 2"),
        (zero, 0.4, 0.0, "the first bound is 0"),
        (zero, 0.75, 1.0, "half of the bucket from 0 to 2"),
    ]
    for histogram, q, want, why in cases:
        shown = f"{histogram.cumulative} up to {histogram.bounds} and infinity"
        near(histogram.quantile(q), want, f"quantile({q}) of {shown} ({why})")


def check_merge(part: ModuleType) -> None:
    """merge: as if all had been observed in one, and the other stays as it is"""
    rng = np.random.default_rng(2)
    bounds = [0.5, 1.0, 3.0]
    values = [rng.gamma(2.0, 0.7, n).tolist() for n in (30, 50, 0)]
    together = [value for some in values for value in some]
    expected = [sum(v <= bound for v in together) for bound in bounds] + [80]
    first, *others = [filled(part, bounds, some) for some in values]
    before = others[0].cumulative
    for other in others:
        first.merge(other)
    assert_equal(first.cumulative, expected, "cumulative after two merges")
    near(first.sum, math.fsum(together), "sum after two merges")
    first.observe(0.1)
    assert_equal(others[0].cumulative, before, "cumulative of the one that was merged")
    others[0].observe(0.1)
    assert_equal(first.count, 81, "count after an observation of the other")
    for bad in ([0.5, 1.0], [0.5, 1.0, 3.5], [0.5, 1.0, 3.0, 4.0]):
        call = partial(first.merge, filled(part, bad, [0.1]))
        assert_raises(ValueError, call, f"bounds {bad} are merged into {bounds}")
    assert_equal(first.count, 81, "count after merges that raised")
    first.merge(first)
    assert_equal(first.count, 162, "count after a merge with itself")


def check_limits(part: ModuleType) -> None:
    """limits: the quantile of NumPy lies between them, and they are one bucket's"""
    rng = np.random.default_rng(3)
    for case in range(30):
        bounds = np.sort(rng.uniform(-1, 6, rng.integers(1, 8))).tolist()
        values = rng.gamma(2.0, 1.0, rng.integers(1, 60)).tolist()
        edges = [-INFINITY, *bounds, INFINITY]
        expected = {}
        for q in (0.0, 0.1, 1 / 3, 0.5, 0.99, 1.0):
            exact = np.sort(values)[max(1, math.ceil(q * len(values))) - 1]
            at = next(i for i, bound in enumerate(edges[1:]) if exact <= bound)
            expected[q] = (edges[at], edges[at + 1])
        histogram = filled(part, bounds, values)
        for q, want in expected.items():
            assert_equal(histogram.limits(q), want, f"case {case} with {bounds}: limits({q})")
    for q in (-0.1, 1.1, NAN):
        assert_raises(ValueError, partial(histogram.limits, q), f"limits gets q = {q}")
    call = partial(part.LatencyHistogram().limits, 0.5)
    assert_raises(ValueError, call, "limits is asked of an empty histogram")


def check_bad_input(part: ModuleType) -> None:
    """Bounds must be finite and increasing, observations numbers"""
    for bad in ([], [1.0, 1.0], [2.0, 1.0], [1.0, INFINITY], [NAN], [-INFINITY, 1.0]):
        assert_raises(ValueError, partial(part.LatencyHistogram, bad), f"the bounds are {bad}")
    histogram = filled(part, [1.0], [0.5])
    assert_raises(ValueError, partial(histogram.observe, NAN), "NaN is observed")
    assert_equal([histogram.count, histogram.sum], [1, 0.5], "count and sum after NaN was refused")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many observations, and a quantile."""
    histogram = part.LatencyHistogram()
    values = np.random.default_rng(0).lognormal(-1.0, 1.0, size).tolist()

    def observe() -> object:
        for value in values:
            histogram.observe(value)
        return histogram.quantile(0.99)

    return observe


SIZE = 10_000
