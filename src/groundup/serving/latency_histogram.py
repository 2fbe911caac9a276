"""A histogram with fixed buckets, and quantiles estimated from it as Prometheus does."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

__all__ = ["LatencyHistogram"]

# Seconds, from a cached answer to a long generation, each about twice the one before.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class LatencyHistogram:
    """Counts of observations by bucket: constant memory, however many there are.

    A bucket is named by its upper bound and holds what is at most that and above the bound before
    ("le", less or equal). One more, without a bound, holds the rest.

    Histograms of the same bounds can be added up, those of many replicas or processes. Their
    quantiles cannot: an average of 99th percentiles is none.

    Source: Prometheus, "Histograms and summaries"; `histogram_quantile` in its documentation of
    query functions, for classic histograms.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """Make an empty histogram.

        Args:
            bounds: of the buckets, in seconds, increasing and finite, at least one.

        Raises:
            ValueError: they are not.
        """
        increasing = all(low < high for low, high in pairwise(bounds))
        if not bounds or not increasing or not all(map(math.isfinite, bounds)):
            raise ValueError(f"bounds must be finite and increasing, at least one, got {bounds}")
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds, without infinity."""
        return self._bounds

    @property
    def cumulative(self) -> list[int]:
        """For each bound how many observations are at most that; at the end, how many in all."""
        return list(accumulate(self._counts))

    @property
    def count(self) -> int:
        """How many observations there are."""
        return sum(self._counts)

    @property
    def sum(self) -> float:
        """Of all observations, in seconds."""
        return self._sum

    def observe(self, value: float, count: int = 1) -> None:
        """Count an observation.

        Args:
            value: seconds; infinity is above every bound.
            count: how often it was made, at least 1.

        Raises:
            ValueError: the value is not a number, or the count not positive. Nothing is counted.
        """
        if count < 1:
            raise ValueError(f"an observation is made at least once, got {count}")
        if math.isnan(value):
            raise ValueError("an observation must be a number, got NaN")
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += count * value

    def merge(self, other: "LatencyHistogram") -> None:
        """Add the other's observations to this one's; the other stays as it is.

        Raises:
            ValueError: the bounds differ. Nothing is added.
        """
        if other._bounds != self._bounds:
            raise ValueError(
                f"histograms can be merged if they have the same bounds, got {other._bounds} "
                f"and expected {self._bounds}"
            )
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self._sum += other._sum

    def quantile(self, q: float) -> float:
        """Estimate the value below which the share q of the observations lies.

        The rank q * count falls into the first bucket up to which there are at least as many
        observations. Within it they are taken to lie evenly: the estimate goes in a straight line
        from the bucket's lower bound to its upper bound. The first bucket begins at 0.

        The rules of Prometheus for the edges:

        - q below 0 gives minus infinity, q above 1 infinity;
        - else, where q is NaN or there are no observations, the estimate is NaN;
        - in the bucket without an upper bound, the estimate is the last bound;
        - in the first bucket, if its bound is not above 0, it is that bound;
        - q = 0 is NaN where the first bucket has a bound above 0 and is empty (0 divided by 0).

        Args:
            q: 0.99 for the 99th percentile.

        Returns:
            Seconds.
        """
        if q < 0 or q > 1:
            return math.copysign(math.inf, q)
        if math.isnan(q) or not self.count:
            return math.nan
        rank = q * self.count
        cumulative = self.cumulative
        bucket = bisect_left(cumulative, rank)
        if bucket >= len(self._bounds):
            return self._bounds[-1]
        upper = self._bounds[bucket]
        if bucket == 0 and upper <= 0:
            return upper
        lower, before = (self._bounds[bucket - 1], cumulative[bucket - 1]) if bucket else (0.0, 0)
        inside = self._counts[bucket]
        return lower + (upper - lower) * ((rank - before) / inside) if inside else math.nan

    def limits(self, q: float) -> tuple[float, float]:
        """Between which values the quantile lies for certain: the error of `quantile`.

        The quantile itself is here the observation of rank ``ceil(q * count)`` in increasing
        order, counted from 1, and for q = 0 the first one.

        Args:
            q: from 0 to 1.

        Returns:
            The bounds of the bucket that holds it; minus infinity below the first bound, and
            infinity above the last.

        Raises:
            ValueError: q is outside, or there are no observations.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1, got {q}")
        if not self.count:
            raise ValueError("there are no observations, and so no quantile")
        bucket = bisect_left(self.cumulative, max(1, math.ceil(q * self.count)))
        edges = (-math.inf, *self._bounds, math.inf)
        return edges[bucket], edges[bucket + 1]
