"""A calendar of the roadmap: what is left, laid out over the days from today on.

There is one function, `plan`, and it knows nothing of an earlier plan. Whoever falls behind asks it
again: what was not done is still left, so it moves, and nothing is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from fractions import Fraction
from typing import Literal

from groundup.course.roadmap import Week
from groundup.errors import GroundupError

__all__ = ["KINDS", "Kind", "Schedule", "Session", "Task", "plan", "roadmap_tasks"]

Kind = Literal["theory", "coding", "project", "drills"]
KINDS: tuple[Kind, ...] = ("theory", "coding", "project", "drills")

QUARTER = 15  # minutes: days and tasks are counted in quarters of an hour
LONGEST_DAY = 16 * 60  # minutes

# Shares of a day, in the day's order. What a kind does not need goes to the others.
WEEKDAY = {
    "theory": Fraction(3, 8),
    "coding": Fraction(3, 8),
    "project": Fraction(1, 8),
    "drills": Fraction(1, 8),
}
# Deep work: two long sittings.
WEEKEND = {
    "coding": Fraction(1, 3),
    "project": Fraction(2, 3),
    "theory": Fraction(0),
    "drills": Fraction(0),
}


@dataclass(frozen=True)
class Task:
    """What is planned as one thing: a part, or a week's theory, project or drills."""

    id: str  # a part's id, or "week-3-theory"
    week: int
    kind: Kind
    title: str
    minutes: int
    needs: tuple[str, ...] = ()  # ids of tasks that come before


@dataclass(frozen=True)
class Session:
    """Some minutes of one task on one day."""

    day: date
    task: Task
    minutes: int


@dataclass(frozen=True)
class Schedule:
    """When somebody studies.

    Raises:
        GroundupError: a day is shorter than nothing or longer than 16 hours, is not in quarters of
            an hour, or no day is left to study on.
    """

    start: date
    weekday: int = 120  # minutes, Monday to Friday
    weekend: int = 240  # minutes, Saturday and Sunday
    rest: frozenset[int] = field(default=frozenset())  # weekdays, 0 is Monday
    at: time | None = None  # when a day's first session begins; None: the calendar has whole days

    def __post_init__(self) -> None:
        for name, minutes in (("weekday", self.weekday), ("day of the weekend", self.weekend)):
            if not 0 <= minutes <= LONGEST_DAY or minutes % QUARTER:
                raise GroundupError(
                    f"a {name} of {minutes / 60:g} hours cannot be planned: "
                    f"give 0 to {LONGEST_DAY // 60} hours, in quarters of an hour"
                )
        if not self.rest <= set(range(7)):
            raise GroundupError(f"rest days are 0 (Monday) to 6 (Sunday), got {sorted(self.rest)}")
        if not 2000 <= self.start.year <= 2200:
            raise GroundupError(f"the start {self.start} is too far away: give one of this century")
        week = [self.start + timedelta(days=n) for n in range(7)]
        if not any(self.minutes(day) for day in week):
            raise GroundupError("no day is left to study on: give hours, or fewer rest days")

    def minutes(self, day: date) -> int:
        """The minutes of study on a day."""
        if day < self.start or day.weekday() in self.rest:
            return 0
        return self.weekend if day.weekday() >= 5 else self.weekday


def roadmap_tasks(weeks: Iterable[Week], needs: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    """The tasks of the roadmap: a week's hours of coding are shared evenly by its parts.

    Args:
        weeks: of the roadmap.
        needs: for a part's id, the ids of the parts that it builds on.
    """
    tasks: list[Task] = []
    for week in weeks:
        n, title = week.number, week.title

        def whole(kind: Kind, hours: int, n: int = n, title: str = title) -> Task:
            return Task(f"week-{n}-{kind}", n, kind, f"{kind.capitalize()}: {title}", hours * 60)

        tasks.append(whole("theory", week.hours.theory))
        quarters, parts = week.hours.coding * 60 // QUARTER, len(week.parts)
        for place, part in enumerate(week.parts):
            minutes = QUARTER * (quarters // parts + (place < quarters % parts))
            tasks.append(
                Task(part.id, n, "coding", part.description, minutes, tuple(needs.get(part.id, ())))
            )
        if not week.parts:
            tasks.append(whole("coding", week.hours.coding))
        tasks.append(whole("project", week.hours.project))
        tasks.append(whole("drills", week.hours.drills))
    return tuple(tasks)


def plan(
    tasks: Iterable[Task], schedule: Schedule, today: date, left: Mapping[str, int] | None = None
) -> tuple[Session, ...]:
    """Lay out what is left over the days from ``today`` on, in their order.

    Each task gets exactly the minutes that are left of it, week after week of the roadmap; it
    begins when all its needs have got theirs. A need of a later week moves to the week of the first
    task that builds on it. A day has at most one session of a task, and at most its minutes.

    Args:
        tasks: of the roadmap.
        schedule: when to study.
        today: the first day that can be planned, if the start is not later.
        left: minutes still to do, by task; a task that is not there has all of them, one that is
            done has 0.

    Raises:
        ValueError: two tasks have one id, or tasks need each other in a circle.
    """
    order = _in_order(tasks)
    rest = {task.id: (left or {}).get(task.id, task.minutes) for task in order}
    sessions: list[Session] = []
    day = max(today, schedule.start)
    while waiting := [task for task in order if rest[task.id] > 0]:
        given = _day(waiting, rest, schedule.minutes(day), day.weekday() >= 5)
        sessions += [Session(day, task, minutes) for task, minutes in given.items()]
        day += timedelta(days=1)
    return tuple(sessions)


def _day(
    waiting: Sequence[Task], rest: dict[str, int], free: int, weekend: bool
) -> dict[Task, int]:
    """The minutes that a day gives to each task, which are taken from ``rest``."""
    shares = WEEKEND if weekend else WEEKDAY
    budgets = {kind: int(free * share) // QUARTER * QUARTER for kind, share in shares.items()}
    given: dict[Task, int] = {}
    while free and (unfinished := [task for task in waiting if rest[task.id] > 0]):
        week = [task for task in unfinished if task.week == unfinished[0].week]
        # First each kind's share. What is over then goes to whatever the week still has.
        for limits in (budgets, dict.fromkeys(shares, free)):
            for kind, limit in limits.items():
                tasks = [task for task in week if task.kind == kind]
                free -= _give(tasks, rest, given, min(limit, free))
    return given


def _give(tasks: Iterable[Task], rest: dict[str, int], given: dict[Task, int], most: int) -> int:
    """Give the tasks that can begin what they want, in their order, ``most`` in all; returns it."""
    left = most
    for task in tasks:
        ready = not any(rest.get(need, 0) for need in task.needs)
        if ready and (minutes := min(left, rest[task.id])):
            given[task] = given.get(task, 0) + minutes
            rest[task.id] -= minutes
            left -= minutes
    return most - left


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    """By week, needs before what builds on them, else as they came."""
    known: dict[str, Task] = {}
    for task in tasks:
        if known.setdefault(task.id, task) is not task:
            raise ValueError(f"two tasks have the id {task.id!r}")
    placed: dict[str, Task] = {}

    def place(task: Task, week: int, path: tuple[str, ...]) -> None:
        if task.id in path:
            raise ValueError(f"tasks need each other in a circle: {', '.join(path)}")
        if task.id not in placed:
            for need in task.needs:
                if need in known:
                    place(known[need], week, (*path, task.id))
            placed[task.id] = replace(task, week=week)

    for task in sorted(known.values(), key=lambda task: task.week):
        place(task, task.week, ())
    return list(placed.values())
