"""Checks of `groundup.serving.circuit_breaker`. Oracle: the rules, read off the whole history."""

import math
import random
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.clock import Clock
from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises


def calls(breaker: Any, *outcomes: bool) -> None:
    """Calls one after the other that succeed (True) or fail (False)."""
    for succeeded in outcomes:
        breaker.end(begun(breaker), failed=not succeeded)


def begun(breaker: Any) -> int:
    ticket = breaker.begin()
    if type(ticket) is not int or ticket <= 0:
        raise CheckFailure(f"begin, the breaker being {breaker.state}, gives {ticket!r}: expected "
                           f"a ticket, a number above 0")  # fmt: skip
    return ticket


def opened(part: ModuleType, clock: Clock, **options: Any) -> Any:
    """A breaker that three failures in a row have opened."""
    breaker = part.CircuitBreaker(min_calls=3, failure_rate=1.0, clock=clock, **options)
    calls(breaker, False, False, False)
    assert_equal(breaker.state, "open", "the state after three failures of three")
    return breaker


def near(got: object, want: float, what: str) -> None:
    if not isinstance(got, (int, float)) or not abs(got - want) < 1e-9:
        raise CheckFailure(f"{what} is {got!r}: expected {want!r}")


def check_stays_closed(part: ModuleType) -> None:
    """Successes, and failures too few or too rare, leave it closed"""
    clock = Clock(5.0)
    breaker = part.CircuitBreaker(min_calls=5, failure_rate=0.5, clock=clock)
    assert_equal(breaker.state, "closed", "the state at first")
    near(breaker.retry_after, 0.0, "retry_after at first")
    calls(breaker, False, False, False, False)
    assert_equal(breaker.state, "closed", "the state after 4 failures, with min_calls=5,")
    breaker = part.CircuitBreaker(min_calls=5, failure_rate=0.5, clock=clock)
    calls(breaker, *[True] * 6, *[False] * 5)
    assert_equal(breaker.state, "closed", "the state after 5 failures of 11, with a rate of 0.5,")
    assert_equal(begun(breaker) > 0, True, "whether a call may be made")


def check_opens(part: ModuleType) -> None:
    """It opens when the share of failures is reached, and lets no call through"""
    clock = Clock(5.0)
    breaker = part.CircuitBreaker(min_calls=5, failure_rate=0.5, open_seconds=2.0, clock=clock)
    calls(breaker, *[True] * 5, *[False] * 4)
    assert_equal(breaker.state, "closed", "the state after 4 failures of 9")
    calls(breaker, False)
    assert_equal(breaker.state, "open", "the state after 5 failures of 10")
    assert_equal([breaker.begin() for _ in range(3)], [None] * 3, "begin of an open breaker")
    near(breaker.retry_after, 2.0, "retry_after")
    clock.now = 6.5
    near(breaker.retry_after, 0.5, "retry_after 1.5 s later")
    assert_equal(breaker.begin(), None, "begin of an open breaker, 1.5 s later,")
    # 0.07 * 100 is a little more than 7 in floating point.
    breaker = part.CircuitBreaker(min_calls=100, failure_rate=0.07, clock=clock)
    calls(breaker, *[True] * 93, *[False] * 7)
    assert_equal(breaker.state, "open", "the state after 7 failures of 100, with a rate of 0.07,")


def check_failures_in_a_row(part: ModuleType) -> None:
    """With a rate of 1, min_calls failures in a row open it"""
    breaker = part.CircuitBreaker(
        min_calls=3, failure_rate=1.0, window=10.0, clock=(clock := Clock())
    )
    calls(breaker, False, False, True, False, False)
    assert_equal(breaker.state, "closed", "the state after two failures, a success, two failures")
    clock.now = 10.0  # what was before is forgotten
    calls(breaker, False, False)
    assert_equal(breaker.state, "closed", "the state after two failures, the window being over,")
    calls(breaker, False)
    assert_equal(breaker.state, "open", "the state after three failures in a row")


def check_window(part: ModuleType) -> None:
    """Only the ends of the last window seconds count"""
    clock = Clock(100.0)
    breaker = part.CircuitBreaker(min_calls=4, failure_rate=0.5, window=10.0, clock=clock)
    calls(breaker, True, True, True, False, False)
    clock.now = 109.0
    calls(breaker, True, True, True, True)
    clock.now = 110.0
    calls(breaker, False, True, True)
    assert_equal(breaker.state, "closed", "the state with 1 failure of 7 in the last 10 s")
    clock.now = 119.5  # the four of 109.0 have left
    calls(breaker, True, False)
    assert_equal(breaker.state, "closed", "the state with 2 failures of 5 in the last 10 s")
    calls(breaker, False)
    assert_equal(breaker.state, "open", "the state with 3 failures of 6 in the last 10 s")
    slow = part.CircuitBreaker(min_calls=2, failure_rate=1.0, window=10.0, clock=clock)
    tickets = [begun(slow), begun(slow)]
    clock.now = 150.0
    for ticket in tickets:
        slow.end(ticket, failed=True)
    assert_equal(slow.state, "open", "the state after two calls that failed only after 30 s")


def check_one_probe(part: ModuleType) -> None:
    """After its time it is half-open: one call goes through, until that has ended"""
    clock = Clock(3.0)
    breaker = opened(part, clock, open_seconds=2.0)
    clock.now = 4.999
    assert_equal(breaker.state, "open", "the state 1 ms before its time is over")
    clock.now = 5.0
    assert_equal(breaker.state, "half-open", "the state when its time is over")
    near(breaker.retry_after, 0.0, "retry_after when its time is over")
    probe = begun(breaker)
    assert_equal(
        [breaker.begin(), breaker.begin()], [None, None], "begin while a probe is under way"
    )
    clock.now = 500.0
    assert_equal(breaker.begin(), None, "begin while a probe is under way, much later,")
    near(breaker.retry_after, 0.0, "retry_after, much later,")
    assert_equal(breaker.state, "half-open", "the state while a probe is under way")
    breaker.end(probe, failed=False)
    assert_equal(breaker.state, "closed", "the state after the probe succeeded")
    tickets = [begun(breaker) for _ in range(4)]
    for ticket in tickets:
        breaker.end(ticket, failed=False)
    assert_equal(breaker.state, "closed", "the state after four more")


def check_closing_forgets(part: ModuleType) -> None:
    """Closed again, it counts from nothing"""
    clock = Clock()
    breaker = opened(part, clock, open_seconds=1.0, window=100.0)
    clock.now = 1.0
    calls(breaker, True)
    calls(breaker, False, False)
    assert_equal(breaker.state, "closed", "the state after a good probe and two failures")
    calls(breaker, False)
    assert_equal(breaker.state, "open", "the state after a good probe and three failures")
    near(breaker.retry_after, 1.0, "retry_after, opened anew after it was closed")


def check_back_off(part: ModuleType) -> None:
    """Each failed probe doubles the time, up to the longest; a good one sets it back"""
    clock = Clock(10.0)
    breaker = opened(part, clock, open_seconds=1.5, max_open_seconds=10.0)
    for seconds in (1.5, 3.0, 6.0, 10.0, 10.0):
        near(breaker.retry_after, seconds, "retry_after, of 1.5, 3, 6, 10, 10 in turn,")
        clock.now += seconds - 0.25
        assert_equal(breaker.begin(), None, f"begin a quarter of a second before {seconds} s")
        clock.now += 0.25
        calls(breaker, False)
        assert_equal(breaker.state, "open", "the state after a failed probe")
    for _ in range(3000):  # 2.0**3000 is no float
        clock.now += 10.0
        calls(breaker, False)
    near(breaker.retry_after, 10.0, "retry_after, 3,000 failed probes later,")
    clock.now += 10.0
    calls(breaker, True, False, False, False)
    near(breaker.retry_after, 1.5, "retry_after, opened anew after it was closed")


def check_probe_given_up(part: ModuleType) -> None:
    """A probe that is given up decides nothing, and the next call is the probe"""
    clock = Clock()
    breaker = opened(part, clock, open_seconds=1.0)
    clock.now = 1.0
    gone = begun(breaker)
    breaker.give_up(gone)
    assert_equal(breaker.state, "half-open", "the state after the probe was given up")
    probe = begun(breaker)
    assert_equal(breaker.begin(), None, "begin while the second probe is under way")
    breaker.end(gone, failed=True)
    breaker.give_up(gone)
    assert_equal(breaker.state, "half-open", "the state after the probe given up ended late")
    assert_equal(breaker.begin(), None, "begin, the second probe being still under way")
    breaker.end(probe, failed=False)
    assert_equal(breaker.state, "closed", "the state after the second probe succeeded")
    one, two = begun(breaker), begun(breaker)
    breaker.give_up(one)
    breaker.end(two, failed=True)
    calls(breaker, False)
    assert_equal(breaker.state, "closed", "the state after two failures and one given up")
    calls(breaker, False)
    assert_equal(breaker.state, "open", "the state after three failures and one given up")


def check_late_ends(part: ModuleType) -> None:
    """Calls that began before the state changed tell nothing"""
    clock = Clock()
    breaker = part.CircuitBreaker(min_calls=2, failure_rate=1.0, open_seconds=1.0, clock=clock)
    late = [begun(breaker) for _ in range(6)]
    calls(breaker, False, False)
    assert_equal(breaker.state, "open", "the state after two failures")
    breaker.end(late[0], failed=False)
    assert_equal(breaker.state, "open", "the state after a late success, the breaker being open,")
    breaker.end(late[1], failed=True)
    near(breaker.retry_after, 1.0, "retry_after after a late failure, the breaker being open,")
    clock.now = 1.0
    probe = begun(breaker)
    breaker.end(late[2], failed=False)
    breaker.end(late[3], failed=True)
    breaker.give_up(late[3])
    assert_equal(breaker.state, "half-open", "the state after late ends, a probe being under way,")
    assert_equal(breaker.begin(), None, "begin after late ends, a probe being under way,")
    breaker.end(probe, failed=False)
    breaker.end(late[4], failed=True)
    breaker.end(late[5], failed=True)
    assert_equal(
        breaker.state, "closed", "the state after late failures, the breaker being closed,"
    )
    calls(breaker, False)
    assert_equal(breaker.state, "closed", "the state after late failures and one of now")


def check_random_calls(part: ModuleType) -> None:
    """Random calls at random times, against the rules read off the whole history"""
    rng = random.Random(0)
    for case in range(60):
        rate, least = rng.choice([0.3, 0.5, 1.0]), rng.choice([1, 3, 6])
        options = {"window": 8.0, "min_calls": least, "failure_rate": rate}
        options |= {"open_seconds": 1.0, "max_open_seconds": 5.0}
        now, state, until, streak = 0.0, "closed", 0.0, 0
        history: list[tuple[float, bool]] = []
        script: list[tuple[float, bool, str]] = []
        for _ in range(120):
            now += rng.choice([0.0, 0.25, 1.0, 3.0])
            failed = rng.random() < 0.5
            if state == "open" and now >= until:
                state = "half-open"
            allowed = state
            if state != "open":
                history.append((now, failed))
                lately = [bad for then, bad in history if now - 8.0 < then]
                enough = len(lately) >= least and sum(lately) / len(lately) >= rate
                if failed if state == "half-open" else enough:
                    until = now + min(2.0**streak, 5.0)
                    state, streak, history = "open", streak + 1, []
                elif state == "half-open":
                    state, streak, history = "closed", 0, []
            script.append((now, failed, allowed))
        clock = Clock()
        breaker = part.CircuitBreaker(**options, clock=clock)
        for step, (now, failed, allowed) in enumerate(script):
            clock.now = now
            what = f"case {case} {options}, call {step}: the state at {now} s"
            assert_equal(breaker.state, allowed, what)
            if (ticket := breaker.begin()) is not None:
                breaker.end(ticket, failed=failed)


def check_bad_numbers(part: ModuleType) -> None:
    """Numbers out of their range raise ValueError"""
    cases = {
        "window": (0.0, -1.0, math.inf, math.nan),
        "min_calls": (0, -1),
        "failure_rate": (0.0, 1.1, -0.5, math.nan),
        "open_seconds": (0.0, -1.0, math.nan),
        "max_open_seconds": (0.5, math.inf, math.nan),  # open_seconds is 1
    }
    part.CircuitBreaker(min_calls=1, failure_rate=1.0, open_seconds=1.0, max_open_seconds=1.0)
    for name, values in cases.items():
        for value in values:
            call = partial(part.CircuitBreaker, **{name: value})
            assert_raises(ValueError, call, f"{name} is {value}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many calls in a window that holds a thousand."""
    clock = Clock()
    breaker = part.CircuitBreaker(window=1.0, clock=clock)

    def traffic() -> None:
        for _ in range(size):
            clock.now += 0.001
            breaker.end(breaker.begin(), failed=False)

    return traffic


SIZE = 10_000
