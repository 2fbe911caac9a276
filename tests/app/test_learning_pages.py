"""What the pages of learning do that needs no browser."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import date, time
from typing import Any

import pytest

from groundup.app.from_thread import from_thread
from groundup.app.pages.roadmap import described, schedule_from
from groundup.course.planner import Schedule
from groundup.errors import GroundupError

FORM: dict[str, Any] = {
    "start": "2026-01-05",
    "weekday": "1.5",
    "weekend": "4",
    "at": "",
    "rest": [],
}


async def test_items_come_one_by_one_while_the_loop_goes_on() -> None:
    may_go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert may_go_on.wait(20)
        yield 2

    found = []
    async for item in from_thread(items):
        found.append(item)
        may_go_on.set()  # only here: the first was given while the second was not there
    assert found == [1, 2]


async def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise GroundupError("planted")

    coming = from_thread(items)
    assert await anext(coming) == 1
    with pytest.raises(GroundupError, match="planted"):
        await anext(coming)


async def test_the_iterator_runs_to_its_end_when_nobody_listens() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        ended.set()

    async for _ in from_thread(items):
        break
    assert await asyncio.to_thread(ended.wait, 20)


def test_a_form_is_a_schedule() -> None:
    assert schedule_from(FORM) == Schedule(date(2026, 1, 5), 90, 240)
    other = schedule_from(FORM | {"at": "19:30", "rest": ["6", "2"]})
    assert other == Schedule(date(2026, 1, 5), 90, 240, frozenset({2, 6}), time(19, 30))
    assert described(other) == (
        "From 5 January 2026: 1.5 hours on weekdays, 4 on weekends, Wed and Sun free, from 19:30."
    )


@pytest.mark.parametrize(
    "damage",
    [{"start": ""}, {"weekday": ""}, {"weekend": "1e999"}, {"rest": ["x"]}, {"at": "late"}],
)
def test_a_form_that_makes_no_sense_says_so(damage: dict[str, Any]) -> None:
    with pytest.raises(GroundupError, match="the plan needs a first day"):
        schedule_from(FORM | damage)
    with pytest.raises(GroundupError, match="no day is left"):
        schedule_from(FORM | {"rest": [str(day) for day in range(7)]})
