"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "a bound belongs to the next bucket": (
        "self._counts[bisect_left(self._bounds, value)]",
        "self._counts[sum(b <= value for b in self._bounds)]",
    ),
    "what is above the last bound is lost": (
        "self._counts[bisect_left(self._bounds, value)] += count",
        "self._counts[min(bisect_left(self._bounds, value), len(self._bounds) - 1)] += count",
    ),
    "counts are not cumulative": (
        "return list(accumulate(self._counts))",
        "return list(self._counts)",
    ),
    "infinity is left out": (
        "return list(accumulate(self._counts))",
        "return list(accumulate(self._counts))[:-1] + [0]",
    ),
    "the sum counts": ("self._sum += count * value", "self._sum += count"),
    "several at once are one": ("value)] += count", "value)] += 1"),
    "the sum has several at once as one": ("self._sum += count * value", "self._sum += value"),
    "none is observed": ("if count < 1:", "if count < 0:"),
    "NaN is observed": ("if math.isnan(value):", "if False:"),
    "equal bounds": ("all(low < high for", "all(low <= high for"),
    "infinite bounds": (" or not all(map(math.isfinite, bounds)):", ":"),
    "no bounds": ("if not bounds or not increasing", "if not increasing"),
    "the merged one is kept": (
        "        self._sum += other._sum\n",
        "        self._sum += other._sum\n        self._counts = other._counts\n",
    ),
    "merge forgets the sum": ("        self._sum += other._sum\n", ""),
    "any histograms merge": ("if other._bounds != self._bounds:", "if False:"),
    "as many bounds are enough": (
        "if other._bounds != self._bounds:",
        "if len(other._bounds) != len(self._bounds):",
    ),
    "no observations give 0": (
        "if math.isnan(q) or not self.count:\n            return math.nan",
        "if math.isnan(q) or not self.count:\n            return 0.0",
    ),
    "q is cut off at 0 and 1": (
        "            return math.copysign(math.inf, q)\n",
        "            q = min(1.0, max(0.0, q))\n",
    ),
    "infinity on both sides": ("math.copysign(math.inf, q)", "math.inf"),
    "ranks of count - 1": ("rank = q * self.count", "rank = q * (self.count - 1)"),
    "nothing comes before q": ("if q < 0 or q > 1:", "if self.count and (q < 0 or q > 1):"),
    "whole ranks": ("rank = q * self.count", "rank = math.ceil(q * self.count)"),
    "the bucket after the rank": (
        "bisect_left(cumulative, rank)",
        "sum(c <= rank for c in cumulative[:-1])",
    ),
    "infinity above the last bound": (
        "            return self._bounds[-1]\n",
        "            return math.inf\n",
    ),
    "the first bucket begins at the second's width": (
        "if bucket else (0.0, 0)",
        "if bucket else (2 * upper - self._bounds[-1], 0)",
    ),
    "the first bucket begins nowhere": ("if bucket else (0.0, 0)", "if bucket else (upper, 0)"),
    "a first bound below 0 is interpolated": ("if bucket == 0 and upper <= 0:", "if False:"),
    "any bound below 0 is given": ("if bucket == 0 and upper <= 0:", "if upper <= 0:"),
    "only below 0, not at 0": (
        "upper <= 0:\n            return upper",
        "upper <= 0:\n            return upper - 1e-3",
    ),
    "the middle of the bucket": ("((rank - before) / inside)", "0.5"),
    "the upper bound": ("((rank - before) / inside)", "1"),
    "those before are not taken off": ("((rank - before) / inside)", "(rank / cumulative[bucket])"),
    "an empty first bucket gives its bound": ("if inside else math.nan", "if inside else upper"),
    "limits by the rank as it is": ("max(1, math.ceil(q * self.count))", "q * self.count"),
    "limits begin at 0": ("edges = (-math.inf,", "edges = (0.0,"),
    "limits end at the last bound": (
        "*self._bounds, math.inf)",
        "*self._bounds, self._bounds[-1])",
    ),
    "limits of nothing": (
        "        if not self.count:\n            raise",
        "        if False:\n            raise",
    ),
    "limits beyond 1": ("if not 0 <= q <= 1:\n            raise", "if q < 0:\n            raise"),
}
