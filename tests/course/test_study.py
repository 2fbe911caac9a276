"""What was studied, what is left and how success stands: all of it from a record of events."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from groundup.course.events import Event
from groundup.course.ownership import ownership
from groundup.course.parts.table import PARTS
from groundup.course.planner import Schedule, Task
from groundup.course.progress import next_part, progress
from groundup.course.roadmap import load_roadmap, load_success_metrics, parse_success_metrics
from groundup.course.study import (
    log_study,
    mark_task,
    minutes_left,
    planned,
    record,
    schedule_of,
    set_schedule,
    tasks_done,
)
from groundup.course.study_plan import read_study_plan
from groundup.course.success import MEASURES, Facts, standings
from groundup.course.workspace import Workspace
from groundup.errors import GroundupError

MONDAY = date(2026, 1, 5)
PROJECT = Task("week-1-project", 1, "project", "P", 240)
ATTENTION = Task("attention", 3, "coding", "A", 105)


def at(day: int, hour: int, minute: int, event: str = "check", **facts: object) -> Event:
    moment = datetime(2026, 1, 5, hour, minute, tzinfo=UTC) + timedelta(days=day)
    return {"time": moment.isoformat(), "event": event, **facts}


def test_a_days_minutes_are_those_between_its_events_without_long_pauses() -> None:
    events = [at(0, 9, 0), at(0, 9, 20), at(0, 9, 45), at(0, 12, 0), at(0, 12, 10), at(2, 8, 0)]
    found = record(events, MONDAY, zone=UTC)
    assert found.days == {MONDAY: 55, date(2026, 1, 7): 0}
    assert found.minutes == 55


def test_time_that_was_logged_and_seen_counts_once() -> None:
    events = [at(0, 9, 0), at(0, 9, 25), at(0, 10, 0, "study", task="x", minutes=45)]
    assert record(events, MONDAY, zone=UTC).days == {MONDAY: 45}
    events.append(at(0, 20, 0, "study", task="y", minutes=30))
    assert record(events, MONDAY, zone=UTC).days == {MONDAY: 75}


def test_settings_are_no_study() -> None:
    assert record([at(0, 9, 0, "init"), at(0, 9, 9, "schedule")], MONDAY, zone=UTC).days == {}


def test_a_day_begins_where_the_learner_is() -> None:
    from zoneinfo import ZoneInfo

    found = record([at(0, 23, 30)], MONDAY, zone=ZoneInfo("Asia/Tokyo"))
    assert list(found.days) == [date(2026, 1, 6)]


@pytest.mark.parametrize(
    ("days", "rest", "today", "streak", "longest"),
    [
        ([], (), 0, 0, 0),
        ([0], (), 0, 1, 1),
        ([0, 1, 2], (), 3, 3, 3),  # today is not over yet
        ([0, 1, 2], (), 4, 0, 3),
        ([0, 1, 3], (), 3, 1, 2),
        ([0, 1, 3], (2,), 3, 3, 3),  # Wednesday is free
        ([0, 1, 2, 3], (2,), 3, 4, 4),  # and counts when it was used
        ([0, 1, 2, 5, 6], (), 6, 2, 3),
    ],
)
def test_streaks(
    days: list[int], rest: tuple[int, ...], today: int, streak: int, longest: int
) -> None:
    events = [at(day, 12, 0) for day in days]
    found = record(events, MONDAY + timedelta(days=today), rest, UTC)
    assert (found.streak, found.longest) == (streak, longest)


def test_the_schedule_is_the_last_one_recorded(workspace: Workspace) -> None:
    assert schedule_of(workspace.events()) is None
    for schedule in (
        Schedule(MONDAY, 60, 120, frozenset({6, 2}), time(19, 30)),
        Schedule(MONDAY + timedelta(days=1)),
    ):
        set_schedule(workspace, schedule)
        assert schedule_of(workspace.events()) == schedule


@pytest.mark.parametrize(
    "damage", [{"start": "soon"}, {"weekday": "two"}, {"rest": 3}, {"at": 7}, {"weekend": 7}]
)
def test_a_damaged_schedule_says_so(workspace: Workspace, damage: dict[str, object]) -> None:
    whole = {"start": "2026-01-05", "weekday": 60, "weekend": 60, "rest": [], "at": None}
    workspace.log("schedule", **(whole | damage))
    with pytest.raises(GroundupError, match=r"cannot be read .* set it again with"):
        schedule_of(workspace.events())


def test_logged_time_is_taken_off_and_a_quarter_stays_until_it_is_done(
    workspace: Workspace,
) -> None:
    tasks = (PROJECT, ATTENTION)
    log_study(workspace, PROJECT, 60)
    log_study(workspace, ATTENTION, 300)
    assert minutes_left(tasks, workspace.events(), ()) == {"week-1-project": 180, "attention": 15}
    mark_task(workspace, PROJECT, done=True)
    done = tasks_done(workspace.events(), {"attention"})
    assert minutes_left(tasks, workspace.events(), done) == {"week-1-project": 0, "attention": 0}
    mark_task(workspace, PROJECT, done=False)
    assert tasks_done(workspace.events(), ()) == set()
    with pytest.raises(GroundupError, match="done when its checks pass"):
        mark_task(workspace, ATTENTION, done=True)
    for minutes in (0, -15, 24 * 60):
        with pytest.raises(GroundupError, match="give 1 to 960"):
            log_study(workspace, PROJECT, minutes)


def test_a_plan_says_how_far_behind_one_is() -> None:
    tasks = (PROJECT, ATTENTION)
    schedule = Schedule(MONDAY, weekday=60, weekend=0)
    on_time = planned(tasks, schedule, MONDAY, {"week-1-project": 240, "attention": 105})
    assert (on_time.behind, on_time.end) == (0, on_time.first_end)
    late = planned(
        tasks, schedule, MONDAY + timedelta(days=2), {"week-1-project": 240, "attention": 75}
    )
    assert late.behind == 2 * 60 - 30
    assert late.end is not None
    assert late.end > late.first_end
    over = planned(tasks, schedule, MONDAY, {"week-1-project": 0, "attention": 0})
    assert (over.sessions, over.end, over.behind) == ((), None, -345)


def test_what_is_read_of_a_workspace(workspace: Workspace, swapped_attention: object) -> None:
    study = read_study_plan(workspace, MONDAY)
    assert (study.plan, study.schedule, study.week.number) == (None, None, 1)
    set_schedule(workspace, Schedule(MONDAY))
    study = read_study_plan(workspace, MONDAY)
    assert study.plan is not None
    assert len(study.plan.on(MONDAY)) == 4
    assert study.task("rotary").id == "rotary"
    with pytest.raises(GroundupError, match="no task 'rotry': did you mean 'rotary'"):
        study.task("rotry")


def test_the_day_stays_as_it_was_planned_in_the_morning(
    workspace: Workspace, swapped_attention: object
) -> None:
    today = datetime.now().astimezone().date()
    set_schedule(workspace, Schedule(today, 120, 120))
    morning = read_study_plan(workspace, today)
    assert morning.plan is not None
    first, second, *_ = morning.plan.on(today)
    assert not morning.finished(first)
    log_study(workspace, first.task, first.minutes - 1)
    assert not read_study_plan(workspace, today).finished(first)
    log_study(workspace, first.task, 1)
    mark_task(workspace, morning.task("week-1-project"), done=True)
    swapped_attention("mine = 1")  # type: ignore[operator]
    noon = read_study_plan(workspace, today)
    assert noon.plan == morning.plan
    assert noon.finished(first)
    assert not noon.finished(second)
    gone = {s.task.id for s in noon.plan.sessions} - {s.task.id for s in noon.sessions}
    assert gone == {"week-1-project", "attention"}
    tomorrow = read_study_plan(workspace, today + timedelta(days=1))
    assert tomorrow.plan is not None
    planned = {session.task.id for session in tomorrow.plan.sessions}
    assert not {"week-1-project", "attention"} & planned
    assert (tomorrow.logged, noon.logged[first.task.id]) == ({}, first.minutes)


def test_the_share_that_is_the_learners(workspace: Workspace, swapped_attention: object) -> None:
    nothing = ownership(progress(workspace).values())
    assert (nothing.parts, nothing.lines, nothing.all_parts) == (0, 0, len(PARTS))
    file = swapped_attention("x = 1\n" * 5000)  # type: ignore[operator]
    one = ownership(progress(workspace).values())
    source = PARTS["attention"].reference.read_text()
    assert (one.parts, one.lines) == (1, sum(bool(line.strip()) for line in source.splitlines()))
    assert one.lines < one.all_lines == nothing.all_lines
    file.write_text("changed")  # so the reference serves
    assert ownership(progress(workspace).values()) == nothing


def test_success_is_measured(workspace: Workspace, swapped_attention: object) -> None:
    metrics = load_success_metrics()
    assert {metric.measure for metric in metrics} == set(MEASURES)
    swapped_attention("mine = 1")  # type: ignore[operator]
    workspace.log("solution", part="attention")
    states = progress(workspace)
    days = [at(day, 9, 0, "study", task="x", minutes=90) for day in (0, 1, 2, 3, 4, 7, 8)]
    facts = Facts(
        tuple(states.values()),
        {"week-1-project", "week-2-project", "week-2-theory", "attention"},
        record(days, MONDAY, zone=UTC),
    )
    found = {standing.metric.measure: standing.value for standing in standings(metrics, facts)}
    assert found == {
        "% of parts passed": 100 / len(PARTS),
        "% of passed parts without the solution": 0,
        "% of passed parts swapped in": 100,
        "projects": 2,
        "hours": 7 * 1.5,
        "weeks of five days": 1,
    }
    met = {s.metric.measure for s in standings(metrics, facts) if s.met}
    assert met == {"% of passed parts swapped in"}


def test_a_measure_of_success_with_a_fault_is_refused() -> None:
    whole = '[[success]]\ntitle="a"\nmeasure="hours"\ntarget=1\nknown="b"\n'
    assert len(parse_success_metrics(whole)) == 1
    for old, new in (("target=1", 'target="1"'), ('known="b"', ""), ("target", "goal=2\ntarget")):
        with pytest.raises(ValueError, match="success 1"):
            parse_success_metrics(whole.replace(old, new))


def test_the_next_part_is_the_first_that_never_passed(
    workspace: Workspace, swapped_attention: object
) -> None:
    weeks = [week for week in load_roadmap() if week.number >= 3]
    first = next_part(weeks, progress(workspace))
    assert first is not None
    assert (first[0].number, first[1].part.id) == (3, "attention")
    swapped_attention("mine = 1")  # type: ignore[operator]
    second = next_part(weeks, progress(workspace))
    assert second is not None
    assert second[1].part.id == weeks[0].parts[1].id
    assert next_part([], progress(workspace)) is None
