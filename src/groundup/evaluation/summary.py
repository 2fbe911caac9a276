"""From records to figures: each metric with its interval, and two models' difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from groundup.evaluation.bootstrap import bootstrap_interval
from groundup.evaluation.mcnemar import mcnemar
from groundup.evaluation.record import Record
from groundup.evaluation.task import Score, Task
from groundup.evaluation.wilson_interval import wilson_interval

__all__ = ["LOGARITHMIC", "Comparison", "Estimate", "compare", "estimate"]

# Metrics whose scores are logarithms: their mean is taken of these, and shown as a power of e.
LOGARITHMIC = frozenset({"perplexity"})


@dataclass(frozen=True)
class Estimate:
    """A metric of one model."""

    task: str
    metric: str
    items: int
    value: float
    low: float | None  # of 95 % confidence; None of a single document
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """A metric of two models, on the same items."""

    first: Estimate
    second: Estimate
    # Second less first, or, of a logarithmic metric, second over first less 1. None where their
    # tokens differ, as what each token costs cannot be compared then.
    difference: float | None
    low: float | None  # of 95 % confidence, by the paired bootstrap
    high: float | None
    p: float | None  # of McNemar's test, where items are right or wrong


def estimate(task: Task, records: Sequence[Record]) -> list[Estimate]:
    """Each metric: the mean over items, and where it lies with 95 % confidence.

    Of items that are right or wrong it is Wilson's interval, of others the bootstrap's.
    """
    return [_estimate(task.name, m, scores) for m, scores in _by_metric(task, records).items()]


def compare(task: Task, first: Sequence[Record], second: Sequence[Record]) -> list[Comparison]:
    """Two models on the items of one task, which are the same in both.

    Raises:
        ValueError: the items differ.
    """
    if [(r.item, r.sample) for r in first] != [(r.item, r.sample) for r in second]:
        raise ValueError("the two models were not asked the same")
    a, b = _by_metric(task, first), _by_metric(task, second)
    return [_comparison(task.name, metric, a[metric], b[metric]) for metric in a]


def _by_metric(task: Task, records: Sequence[Record]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for _, samples in groupby(records, key=lambda record: record.item):
        for metric, score in task.scores(list(samples)).items():
            found.setdefault(metric, []).append(score)
    return found


def _mean(scores: Sequence[Score]) -> float:
    return sum(s.value * s.weight for s in scores) / sum(s.weight for s in scores)


def _right_or_wrong(scores: Sequence[Score]) -> bool:
    return all(s.weight == 1 and s.value in (0, 1) for s in scores)


def _estimate(task: str, metric: str, scores: Sequence[Score]) -> Estimate:
    value = _mean(scores)
    ends: tuple[float, float] | None = None
    if _right_or_wrong(scores):
        ends = wilson_interval(sum(s.value == 1 for s in scores), len(scores))
    elif len(scores) > 1:
        ends = bootstrap_interval([s.value for s in scores], [s.weight for s in scores])
    if metric in LOGARITHMIC:
        value, ends = math.exp(value), ends and (math.exp(ends[0]), math.exp(ends[1]))
    low, high = ends or (None, None)
    return Estimate(task, metric, len(scores), value, low, high)


def _comparison(
    task: str, metric: str, first: Sequence[Score], second: Sequence[Score]
) -> Comparison:
    a, b = _estimate(task, metric, first), _estimate(task, metric, second)
    weights = [s.weight for s in first]
    if weights != [s.weight for s in second]:
        return Comparison(a, b, None, None, None, None)
    gains = [y.value - x.value for x, y in zip(first, second, strict=True)]
    difference = sum(g * w for g, w in zip(gains, weights, strict=True)) / sum(weights)
    ends = bootstrap_interval(gains, weights) if len(gains) > 1 else None
    p = None
    if _right_or_wrong([*first, *second]):
        p = mcnemar(sum(gain < 0 for gain in gains), sum(gain > 0 for gain in gains))
    if metric in LOGARITHMIC:
        difference = math.expm1(difference)
        ends = ends and (math.expm1(ends[0]), math.expm1(ends[1]))
    low, high = ends or (None, None)
    return Comparison(a, b, difference, low, high, p)
