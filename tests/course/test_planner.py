"""Plans: whatever is left is laid out, on days of study, within their hours, needs first."""

from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.course.parts.table import PARTS
from groundup.course.planner import KINDS, Schedule, Session, Task, plan, roadmap_tasks
from groundup.course.roadmap import load_roadmap
from groundup.errors import GroundupError

WEEKS = load_roadmap()
TASKS = roadmap_tasks(WEEKS, {part.id: part.needs for part in PARTS.values()})
MONDAY = date(2026, 1, 5)

quarters = st.integers(0, 20).map(lambda n: 15 * n)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    rest = draw(st.frozensets(st.integers(0, 6), max_size=6))
    weekday, weekend = draw(quarters), draw(quarters)
    if not (weekday and set(range(5)) - rest) and not (weekend and {5, 6} - rest):
        rest, weekday = frozenset({6}), 30
    start = MONDAY + timedelta(days=draw(st.integers(0, 13)))
    return Schedule(start, weekday, weekend, rest)


@st.composite
def some_tasks(draw: st.DrawFn) -> tuple[Task, ...]:
    """Tasks in any order; each needs some of those made before it, of whatever week or kind."""
    tasks: list[Task] = []
    for n in range(draw(st.integers(1, 12))):
        needs = draw(st.lists(st.sampled_from(range(n)), max_size=3, unique=True)) if n else []
        week, minutes = draw(st.integers(1, 4)), 15 * draw(st.integers(1, 12))
        kind = draw(st.sampled_from(KINDS))
        tasks.append(Task(f"t{n}", week, kind, "", minutes, tuple(f"t{need}" for need in needs)))
    return tuple(draw(st.permutations(tasks)))


@st.composite
def situations(draw: st.DrawFn) -> tuple[tuple[Task, ...], Schedule, date, dict[str, int]]:
    tasks, schedule = draw(some_tasks()), draw(schedules())
    today = schedule.start + timedelta(days=draw(st.integers(-5, 40)))
    some = draw(st.lists(st.sampled_from(tasks), unique=True))
    left = {task.id: draw(st.integers(0, task.minutes)) for task in some}
    return tasks, schedule, today, left


def total(sessions: tuple[Session, ...]) -> dict[str, int]:
    minutes: dict[str, int] = {}
    for session in sessions:
        minutes[session.task.id] = minutes.get(session.task.id, 0) + session.minutes
    return minutes


@given(situations())
def test_exactly_what_is_left_is_planned_on_days_of_study_within_their_hours(
    situation: tuple[tuple[Task, ...], Schedule, date, dict[str, int]],
) -> None:
    tasks, schedule, today, left = situation
    sessions = plan(tasks, schedule, today, left)
    wanted = {task.id: left.get(task.id, task.minutes) for task in tasks}
    assert total(sessions) == {id: minutes for id, minutes in wanted.items() if minutes}
    assert all(session.minutes > 0 for session in sessions)
    for day in {session.day for session in sessions}:
        today_s = [session for session in sessions if session.day == day]
        assert day >= max(today, schedule.start)
        assert day.weekday() not in schedule.rest
        limit = schedule.weekend if day.weekday() in (5, 6) else schedule.weekday
        assert sum(session.minutes for session in today_s) <= limit
        assert len({session.task.id for session in today_s}) == len(today_s)
    assert [s.day for s in sessions] == sorted(s.day for s in sessions)


@given(situations())
def test_a_task_begins_after_the_last_session_of_all_its_needs(
    situation: tuple[tuple[Task, ...], Schedule, date, dict[str, int]],
) -> None:
    sessions = plan(*situation)
    ids = [session.task.id for session in sessions]
    last = {id: place for place, id in enumerate(ids)}
    for session in sessions:
        for need in session.task.needs:
            assert last.get(need, -1) < ids.index(session.task.id)


@given(situations())
def test_no_day_of_study_before_the_last_is_left_with_free_time(
    situation: tuple[tuple[Task, ...], Schedule, date, dict[str, int]],
) -> None:
    tasks, schedule, today, left = situation
    sessions = plan(tasks, schedule, today, left)
    day = max(today, schedule.start)
    while sessions and day < sessions[-1].day:
        assert sum(s.minutes for s in sessions if s.day == day) == schedule.minutes(day)
        day += timedelta(days=1)


@given(situations(), st.integers(0, 30))
def test_planning_again_after_days_that_went_as_planned_changes_nothing(
    situation: tuple[tuple[Task, ...], Schedule, date, dict[str, int]], days: int
) -> None:
    tasks, schedule, today, left = situation
    sessions = plan(tasks, schedule, today, left)
    assert plan(tasks, schedule, today, left) == sessions
    later = max(today, schedule.start) + timedelta(days=days)
    done = total(tuple(session for session in sessions if session.day < later))
    rest = {t.id: left.get(t.id, t.minutes) - done.get(t.id, 0) for t in tasks}
    again = plan(tasks, schedule, later, rest)
    assert [(s.day, s.task.id, s.minutes) for s in again] == [
        (s.day, s.task.id, s.minutes) for s in sessions if s.day >= later
    ]


@given(schedules(), st.integers(0, 60))
def test_falling_behind_moves_everything_and_loses_nothing(schedule: Schedule, days: int) -> None:
    tasks = TASKS[:20]
    first = plan(tasks, schedule, schedule.start)
    later = plan(tasks, schedule, schedule.start + timedelta(days=days))
    assert total(first) == total(later)
    assert later[-1].day >= first[-1].day


def test_the_roadmap_has_every_part_once_and_all_its_hours() -> None:
    assert sorted(t.id for t in TASKS if not t.id.startswith("week-")) == sorted(
        part.id for week in WEEKS for part in week.parts
    )
    for week in WEEKS:
        own = [task for task in TASKS if task.week == week.number]
        for kind in KINDS:
            minutes = sum(task.minutes for task in own if task.kind == kind)
            assert minutes == 60 * getattr(week.hours, kind)
        assert all(task.minutes % 15 == 0 for task in own)


def test_the_usual_hours_take_26_weeks() -> None:
    sessions = plan(TASKS, Schedule(MONDAY), MONDAY)
    assert 25 * 7 <= (sessions[-1].day - MONDAY).days < 26 * 7
    assert {s.task.id for s in sessions} == {task.id for task in TASKS}


def test_a_weekday_has_all_four_kinds_and_a_weekend_deep_work() -> None:
    sessions = plan(TASKS, Schedule(MONDAY), MONDAY)
    monday = [s for s in sessions if s.day == MONDAY]
    assert [(s.task.kind, s.minutes) for s in monday] == [
        ("theory", 45),
        ("coding", 45),
        ("project", 15),
        ("drills", 15),
    ]
    saturday = [s for s in sessions if s.day == MONDAY + timedelta(days=5)]
    assert {s.task.kind for s in saturday} == {"coding", "project"}
    assert max(s.minutes for s in saturday) >= 120


def test_needs_come_first_although_the_roadmap_has_them_later() -> None:
    tasks = (
        Task("a", 1, "coding", "", 60, ("c",)),
        Task("b", 1, "coding", "", 60),
        Task("c", 3, "coding", "", 60, ("d",)),
        Task("d", 2, "drills", "", 60),
    )
    sessions = plan(tasks, Schedule(MONDAY, 60), MONDAY)
    assert [s.task.id for s in sessions] == ["b", "d", "c", "a"]
    assert [s.task.week for s in sessions] == [1] * 4


def test_tasks_that_make_no_order_are_refused() -> None:
    circle = (Task("a", 1, "coding", "", 15, ("b",)), Task("b", 1, "coding", "", 15, ("a",)))
    with pytest.raises(ValueError, match="in a circle: a, b"):
        plan(circle, Schedule(MONDAY), MONDAY)
    with pytest.raises(ValueError, match="two tasks have the id 'a'"):
        plan((circle[0], Task("a", 2, "drills", "", 15)), Schedule(MONDAY), MONDAY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weekday": 20}, "a weekday of 0.333333 hours cannot be planned"),
        ({"weekend": 17 * 60}, "a day of the weekend of 17 hours cannot be planned"),
        ({"weekday": -15}, "give 0 to 16 hours"),
        ({"rest": frozenset({7})}, "0 .Monday. to 6 .Sunday., got .7."),
        ({"rest": frozenset(range(7))}, "no day is left to study on"),
        ({"weekday": 0, "rest": frozenset({5, 6})}, "no day is left to study on"),
        ({"start": date(9999, 12, 31)}, "too far away"),
    ],
)
def test_schedules_that_nobody_can_keep_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(GroundupError, match=message):
        Schedule(**({"start": MONDAY, "at": time(19)} | changes))  # type: ignore[arg-type]
