"""What a learner plans, says to have done and did, read from the workspace's events.

Three kinds of events are written here: ``schedule`` (when to study), ``study`` (minutes spent on a
task) and ``task`` (a task that no checks can judge is done, or is not after all).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from groundup.course.events import Event
from groundup.course.planner import LONGEST_DAY, Schedule, Session, Task, plan
from groundup.course.workspace import Workspace
from groundup.errors import GroundupError

__all__ = [
    "Plan",
    "Record",
    "day_of",
    "log_study",
    "mark_task",
    "minutes_left",
    "minutes_spent",
    "planned",
    "record",
    "schedule_of",
    "set_schedule",
    "tasks_done",
]

PAUSE = timedelta(minutes=30)  # a longer one between two events was no study
UNFINISHED = 15  # minutes that stay planned for a task that took its time and is not done
SETTINGS = frozenset({"init", "schedule"})  # events that are no study


def set_schedule(workspace: Workspace, schedule: Schedule) -> None:
    """Record when to study from now on."""
    workspace.log(
        "schedule",
        start=schedule.start.isoformat(),
        weekday=schedule.weekday,
        weekend=schedule.weekend,
        rest=sorted(schedule.rest),
        at=schedule.at and schedule.at.isoformat("minutes"),
    )


def schedule_of(events: Iterable[Event]) -> Schedule | None:
    """The schedule that was recorded last.

    Raises:
        GroundupError: it makes no sense: somebody edited the record.
    """
    last = next((e for e in reversed(list(events)) if e["event"] == "schedule"), None)
    if last is None:
        return None
    try:
        return Schedule(
            start=date.fromisoformat(last["start"]),
            weekday=last["weekday"],
            weekend=last["weekend"],
            rest=frozenset(last["rest"]),
            at=time.fromisoformat(last["at"]) if last["at"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise GroundupError(
            f"the schedule recorded at {last['time']} cannot be read ({error}): "
            f"set it again with `groundup plan --start DATE`"
        ) from None


def log_study(workspace: Workspace, task: Task, minutes: int) -> None:
    """Record minutes spent on a task today.

    Raises:
        GroundupError: that is not a time that a day has room for.
    """
    if not 0 < minutes <= LONGEST_DAY:
        raise GroundupError(f"{minutes} minutes of study in one go: give 1 to {LONGEST_DAY}")
    workspace.log("study", task=task.id, minutes=minutes)


def mark_task(workspace: Workspace, task: Task, done: bool) -> None:
    """Record that a task is done, or is not.

    Raises:
        GroundupError: its checks say that, because it is a part.
    """
    if not task.id.startswith("week-"):
        raise GroundupError(
            f"{task.id} is a part, so it is done when its checks pass: groundup check {task.id}"
        )
    workspace.log("task", task=task.id, done=done)


def tasks_done(events: Iterable[Event], passed: Collection[str]) -> set[str]:
    """The ids of the parts that passed and of the tasks that were marked done."""
    marked = {event["task"]: event["done"] for event in events if event["event"] == "task"}
    return {*passed, *(task for task, done in marked.items() if done)}


def day_of(event: Event, zone: tzinfo | None = None) -> date:
    """The learner's day on which something happened; ``zone`` as `record` takes it."""
    return datetime.fromisoformat(event["time"]).astimezone(zone).date()


def minutes_spent(events: Iterable[Event]) -> dict[str, int]:
    """The minutes that were logged, by task."""
    spent: dict[str, int] = {}
    for event in events:
        if event["event"] == "study":
            spent[event["task"]] = spent.get(event["task"], 0) + event["minutes"]
    return spent


def minutes_left(
    tasks: Iterable[Task], events: Iterable[Event], done: Collection[str]
) -> dict[str, int]:
    """What is still to do of each task.

    Time logged is taken off a task. Until it is done a quarter of an hour stays, however long it
    took already.
    """
    spent = minutes_spent(events)
    return {
        task.id: 0 if task.id in done else max(task.minutes - spent.get(task.id, 0), UNFINISHED)
        for task in tasks
    }


@dataclass(frozen=True)
class Plan:
    """The way from today to the end, beside the one that was planned at the start."""

    sessions: tuple[Session, ...]
    end: date | None  # None: nothing is left
    first_end: date  # as it was planned at the start
    behind: int  # minutes: what should be done by now, less what is; negative: ahead

    def on(self, day: date) -> tuple[Session, ...]:
        """The sessions of one day."""
        return tuple(session for session in self.sessions if session.day == day)


def planned(
    tasks: tuple[Task, ...], schedule: Schedule, today: date, left: Mapping[str, int]
) -> Plan:
    """The plan from today on, and how it stands to the first one."""
    first = plan(tasks, schedule, schedule.start)
    sessions = plan(tasks, schedule, today, left)
    due = sum(session.minutes for session in first if session.day < today)
    done = sum(task.minutes - left[task.id] for task in tasks)
    end = sessions[-1].day if sessions else None
    return Plan(sessions, end, first[-1].day, due - done)


@dataclass(frozen=True)
class Record:
    """What was studied."""

    days: dict[date, int]  # minutes, of every day with any study
    streak: int  # days of study in a row up to today; rest days without study are passed over
    longest: int  # the longest such row

    @property
    def minutes(self) -> int:
        return sum(self.days.values())


def record(
    events: Iterable[Event],
    today: date,
    rest: Collection[int] = (),
    zone: tzinfo | None = None,
) -> Record:
    """The days and minutes of study.

    A day's minutes are those that were logged, or those between its events with pauses of more than
    half an hour left out, whichever are more: time that was seen and logged counts once.

    Args:
        events: of the workspace.
        today: in ``zone``. Today without study does not end a streak yet.
        rest: weekdays that are free, 0 is Monday.
        zone: where the learner's days begin; None is this machine's.
    """
    times: dict[date, list[datetime]] = {}
    logged: dict[date, int] = {}
    for event in events:
        if event["event"] in SETTINGS:
            continue
        moment = datetime.fromisoformat(event["time"]).astimezone(zone)
        times.setdefault(moment.date(), []).append(moment)
        if event["event"] == "study":
            logged[moment.date()] = logged.get(moment.date(), 0) + event["minutes"]
    days = {}
    for day, moments in sorted(times.items()):
        moments.sort()
        gaps = [b - a for a, b in pairwise(moments)]
        seen = sum((gap for gap in gaps if gap <= PAUSE), timedelta())
        days[day] = max(logged.get(day, 0), round(seen / timedelta(minutes=1)))
    return Record(days, *_streaks(set(days), today, rest))


def _streaks(days: set[date], today: date, rest: Collection[int]) -> tuple[int, int]:
    """The streak up to today, and the longest."""
    streak = longest = 0
    day = min(days, default=today)
    while day <= today:
        if day in days:
            streak += 1
        elif day.weekday() not in rest and day != today:
            streak = 0
        longest = max(longest, streak)
        day += timedelta(days=1)
    return streak, longest
