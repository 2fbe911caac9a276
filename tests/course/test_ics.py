"""Calendar files: what the `icalendar` package reads is what was planned."""

import re
from datetime import UTC, date, datetime, time, timedelta

import icalendar
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from groundup.course.ics import calendar
from groundup.course.planner import Schedule, Session, Task, plan, roadmap_tasks
from groundup.course.roadmap import load_roadmap

MONDAY = date(2026, 1, 5)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROADMAP = plan(roadmap_tasks(load_roadmap(), {}), Schedule(MONDAY), MONDAY)

# No control characters, nor what some readers take for the end of a line.
texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.just("\n"), max_size=200
)


def events(text: str) -> list[icalendar.Event]:
    return icalendar.Calendar.from_ical(text).events


@pytest.mark.parametrize("at", [None, time(19, 30)])
def test_the_whole_roadmap_is_read_back(at: time | None) -> None:
    read = events(calendar(ROADMAP, at, NOW))
    assert len(read) == len(ROADMAP)
    ends: dict[date, datetime] = {}
    for event, session in zip(read, ROADMAP, strict=True):
        assert session.task.title in str(event["DESCRIPTION"])
        assert event.decoded("DTSTAMP") == NOW
        if at is None:
            assert (event.start, event.end) == (session.day, session.day + timedelta(days=1))
            assert type(event.start) is date
            continue
        begin, end = event.start, event.end
        assert isinstance(begin, datetime)
        assert isinstance(end, datetime)
        assert begin == ends.get(session.day, datetime.combine(session.day, at))
        assert begin.tzinfo is None  # of the place where one looks
        assert end - begin == timedelta(minutes=session.minutes)
        ends[session.day] = end


@given(texts)
@example("\n")  # at the end, too
@example("a\\nb \\, c \\\\; d")  # what stands there, not what it would mean
def test_any_text_survives_in_lines_of_at_most_75_octets(text: str) -> None:
    written = calendar([Session(MONDAY, Task("week-1-x", 1, "theory", text, 60), 60)], None, NOW)
    (event,) = events(written)
    assert str(event["DESCRIPTION"]) == f"Week 1, theory: {text}"
    assert written.endswith("\r\n")
    for line in written.split("\r\n"):
        assert len(line.encode()) <= 75
        assert "\n" not in line
    unfolded = written.replace("\r\n ", "").split("\r\n")
    assert all(re.match(r"[A-Z-]+[:;]", line) for line in unfolded[:-1])


def test_a_session_keeps_its_uid_when_the_plan_moves() -> None:
    later = plan(roadmap_tasks(load_roadmap(), {}), Schedule(MONDAY), MONDAY + timedelta(days=9))
    first, second = (
        {str(event["UID"]): event.start for event in events(calendar(sessions, None, NOW))}
        for sessions in (ROADMAP, later)
    )
    assert len(first) == len(ROADMAP)
    same = first.keys() & second.keys()
    assert {f"{s.task.id}-1@groundup" for s in ROADMAP} <= same
    assert all(second[uid] >= first[uid] for uid in same)


def test_a_day_that_goes_past_midnight_ends_on_the_next() -> None:
    task = Task("attention", 3, "coding", "A.", 120)
    (event,) = events(calendar([Session(MONDAY, task, 120)], time(23), NOW))
    assert event.end == datetime(2026, 1, 6, 1)
