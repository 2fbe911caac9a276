"""The roadmap's measures of success, and where a learner stands with each."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from groundup.course.progress import PartProgress
from groundup.course.roadmap import SuccessMetric
from groundup.course.study import Record

__all__ = ["MEASURES", "Facts", "Standing", "standings"]


@dataclass(frozen=True)
class Facts:
    """All that the measures are computed from."""

    states: Collection[PartProgress]
    done: Collection[str]  # ids of tasks
    record: Record


@dataclass(frozen=True)
class Standing:
    """A measure of success, and its value now."""

    metric: SuccessMetric
    value: float

    @property
    def met(self) -> bool:
        return self.value >= self.metric.target


def _share(part: Iterable[object], whole: Collection[object]) -> float:
    return 100 * sum(1 for _ in part) / len(whole) if whole else 0.0


def _passed(facts: Facts) -> list[PartProgress]:
    return [state for state in facts.states if state.ever_passed]


MEASURES: dict[str, Callable[[Facts], float]] = {
    "% of parts passed": lambda facts: _share(_passed(facts), facts.states),
    "% of passed parts without the solution": lambda facts: _share(
        (s for s in _passed(facts) if not s.solution_seen), _passed(facts)
    ),
    "% of passed parts swapped in": lambda facts: _share(
        (s for s in _passed(facts) if s.swapped and s.state == "passed"), _passed(facts)
    ),
    "projects": lambda facts: float(sum(task.endswith("-project") for task in facts.done)),
    "hours": lambda facts: facts.record.minutes / 60,
    "weeks of five days": lambda facts: float(_full_weeks(facts.record)),
}


def standings(metrics: Iterable[SuccessMetric], facts: Facts) -> tuple[Standing, ...]:
    """Each measure with its value, in their order."""
    return tuple(Standing(metric, MEASURES[metric.measure](facts)) for metric in metrics)


def _full_weeks(record: Record) -> int:
    weeks = [day.isocalendar()[:2] for day in record.days]
    return sum(weeks.count(week) >= 5 for week in set(weeks))
