"""Checks of `groundup.serving.token_bucket`. Oracle: the same bucket in exact fractions."""

import random
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from types import ModuleType

from groundup.course.grader.clock import Clock
from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError


class ExactBucket:
    """Refilled step by step, without rounding."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = Fraction(rate), Fraction(burst)
        self.level, self.last = self.burst, Fraction(now)

    def at(self, now: float) -> Fraction:
        gained = (Fraction(now) - self.last) * self.rate
        self.level, self.last = min(self.burst, self.level + gained), Fraction(now)
        return self.level

    def take(self, n: float, now: float) -> bool:
        if self.at(now) < Fraction(n):
            return False
        self.level -= Fraction(n)
        return True


def near(got: object, want: float, what: str, tolerance: float = 1e-9) -> None:
    if not isinstance(got, (int, float)):
        raise CheckFailure(f"{what} is of type {type(got).__name__}: expected a number")
    if not abs(got - want) <= tolerance:
        raise CheckFailure(f"{what} is {got!r}: expected {want!r}")


def check_burst_then_rate(part: ModuleType) -> None:
    """A full bucket gives its burst at once, and then the rate"""
    clock = Clock(100.0)
    bucket = part.TokenBucket(2.0, 5.0, clock=clock)
    near(bucket.available, 5.0, "available in a new bucket with a burst of 5")
    assert_equal([bucket.take() for _ in range(7)], [True] * 5 + [False] * 2, "seven takes at once")
    near(bucket.available, 0.0, "available after the burst is taken")
    clock.now = 100.25
    assert_equal(bucket.take(), False, "take after 0.25 s at 2 tokens a second")
    near(bucket.available, 0.5, "available after 0.25 s at 2 tokens a second")
    clock.now = 101.0
    assert_equal([bucket.take() for _ in range(3)], [True, True, False], "takes after 1 s")
    clock.now = 1000.0
    near(bucket.available, 5.0, "available after a long rest (it holds no more than the burst)")
    assert_equal([bucket.take(2.5) for _ in range(3)], [True, True, False], "takes of 2.5 tokens")


def check_a_refused_take_costs_nothing(part: ModuleType) -> None:
    """A take that finds too few tokens takes none"""
    clock = Clock()
    bucket = part.TokenBucket(1.0, 10.0, clock=clock)
    bucket.take(6)
    for _ in range(3):
        assert_equal(bucket.take(5), False, "take(5) with 4 tokens there")
    near(bucket.available, 4.0, "available after refused takes")
    assert_equal(bucket.take(4), True, "take(4) with 4 tokens there")
    clock.now = 0.5
    bucket.take(1)
    clock.now = 1.0
    assert_equal(bucket.take(1), True, "take(1) after 1 s, with a refused take at half a second")


def check_random_traffic(part: ModuleType) -> None:
    """Random takes at random times, against exact fractions"""
    rng = random.Random(0)
    for case in range(20):
        rate, burst = rng.choice([0.5, 3.0, 100.0, 4e5]), rng.choice([1.0, 8.0, 1e5])
        begin = now = rng.choice([0.0, 1e6])
        steps, expected = [], []
        exact = ExactBucket(rate, burst, now)
        for _ in range(300):
            now += rng.choice([0.0, 0.01, 0.5, 2.0]) * burst / rate / 4
            n = rng.choice([0.0, 1.0, burst // 2, burst]) if burst > 1 else rng.choice([0.0, 1.0])
            tie = abs(exact.at(now) - Fraction(n)) < Fraction(burst) / 10**6
            if not tie:  # rounding may decide either way
                steps.append((now, n))
                expected.append((exact.take(n, now), float(exact.level)))
        clock = Clock(begin)
        bucket = part.TokenBucket(rate, burst, clock=clock)
        for number, ((now, n), (taken, left)) in enumerate(zip(steps, expected, strict=True)):
            clock.now = now
            what = f"case {case} (rate {rate:g}, burst {burst:g}), step {number}:"
            assert_equal(bucket.take(n), taken, f"{what} take({n:g}) at {now!r}")
            near(bucket.available, left, f"{what} available", tolerance=1e-4 * burst)


def check_frequent_questions_lose_nothing(part: ModuleType) -> None:
    """A bucket that is asked a thousand times a second still gains its tenth of a token"""
    for start in (0.0, 1e6):
        clock = Clock(start)
        bucket = part.TokenBucket(0.1, 3.0, clock=clock)
        bucket.take(3)
        for step in range(1, 25_000):
            clock.now = start + step / 1000
            if bucket.take(3):
                raise CheckFailure(f"take(3) after {step / 1000} s at 0.1 a second succeeds")
        near(bucket.available, 2.4999, "available after 24.999 s at 0.1 a second", 1e-6)


def check_no_drift(part: ModuleType) -> None:
    """A long time under full load admits the rate, to the token"""
    rate, start = 1_000_000.0, 2_000_000.0  # a token in a microsecond; up for 23 days
    clock = Clock(start)
    bucket = part.TokenBucket(rate, 10.0, clock=clock)
    bucket.take(10)
    admitted = 0
    for step in range(1, 30_001):
        clock.now = start + step / 2**18  # 3.8 tokens a step, and the steps are exact
        while bucket.take():
            admitted += 1
    want = 30_000 * rate / 2**18
    near(admitted, want, "the tokens admitted, of 114,440.9 gained in 30,000 steps,", 1.01)
    clock.now = start + 1e8
    near(bucket.available, 10.0, "available after three years")
    for hour in range(1, 50):
        clock.now = start + 1e8 + 3600.0 * hour
        assert_equal(
            [bucket.take(10), bucket.take(1)], [True, False], "take(10), take(1) each hour"
        )


def check_wait(part: ModuleType) -> None:
    """wait gives the seconds until the tokens are there, and takes none"""
    clock = Clock(50.0)
    bucket = part.TokenBucket(4.0, 8.0, clock=clock)
    near(bucket.wait(8), 0.0, "wait(8) of a full bucket")
    bucket.take(8)
    for n, seconds in ((1, 0.25), (2, 0.5), (8, 2.0), (0, 0.0)):
        near(bucket.wait(n), seconds, f"wait({n}) of an empty bucket at 4 tokens a second")
    clock.now = 50.125
    near(bucket.wait(1), 0.125, "wait(1) half way to the first token")
    near(bucket.available, 0.5, "available after several waits")
    clock.now = 50.5
    near(bucket.wait(2), 0.0, "wait(2) when two are there")


def check_wait_is_enough(part: ModuleType) -> None:
    """After exactly the wait that was told, the take succeeds; shortly before, it does not"""
    rng = random.Random(1)
    for case in range(400):
        rate, burst = rng.choice([0.3, 7.0, 1e4, 1e6]) * rng.uniform(1, 2), rng.randint(1, 1000)
        clock = Clock(rng.choice([0.0, 12345.678, 3e7]))
        bucket = part.TokenBucket(rate, burst, clock=clock)
        bucket.take(burst)
        clock.now += rng.random() * burst / rate / 2
        n = rng.randint((burst + 1) // 2, burst)
        wait = bucket.wait(n)
        start = clock.now
        if n / rate > 1e-3 and wait > 1e-3:
            clock.now = start + wait - 1e-4
            assert_equal(bucket.take(n), False, f"case {case}: take 0.1 ms before the wait is over")
        clock.now = start + wait
        what = f"case {case}: take({n}) at {start!r} + {wait!r}, the wait told (rate {rate!r})"
        assert_equal(bucket.take(n), True, what)


def check_standing_clock(part: ModuleType) -> None:
    """A clock that stands still gains nothing, and one that goes back neither adds nor breaks"""
    clock = Clock(10.0)
    bucket = part.TokenBucket(5.0, 4.0, clock=clock)
    got = [bucket.take() for _ in range(10)]
    assert_equal(got, [True] * 4 + [False] * 6, "ten takes at one instant")
    near(bucket.wait(1), 0.2, "wait(1) at that instant")
    clock.now = 9.0
    assert_equal(bucket.take(), False, "take after the clock went back by 1 s")
    near(bucket.available, 0.0, "available after the clock went back by 1 s")
    clock.now = 10.0
    assert_equal(bucket.take(), False, "take when the clock is where it was")
    clock.now = 10.4
    assert_equal([bucket.take() for _ in range(3)], [True, True, False], "takes 0.4 s later")
    full = part.TokenBucket(5.0, 4.0, clock=clock)
    clock.now = 0.0
    full.take(4)
    clock.now = 10.4
    assert_equal(full.take(), False, "take when a clock that went back is again where it was")


def check_refund(part: ModuleType) -> None:
    """Tokens reserved and not used come back, up to the burst"""
    clock = Clock(7.0)
    bucket = part.TokenBucket(10.0, 100.0, clock=clock)
    bucket.take(80)
    bucket.refund(50)
    near(bucket.available, 70.0, "available after take(80) and refund(50)")
    clock.now = 8.0
    near(bucket.available, 80.0, "available a second after")
    assert_equal(bucket.take(80), True, "take(80) then")
    clock.now = 17.5
    bucket.refund(40)
    near(bucket.available, 100.0, "available after a refund that does not fit")
    got = [bucket.take(100), bucket.take(1)]
    assert_equal(got, [True, False], "take(100) and take(1) after a refund that does not fit")
    clock.now = 17.6
    near(bucket.available, 1.0, "available 0.1 s after that")
    bucket.refund(0)
    near(bucket.available, 1.0, "available after refund(0)")
    other = part.TokenBucket(10.0, 100.0, clock=clock)
    other.take(30)
    other.refund(30)
    near(other.available, 100.0, "available after take(30) and refund(30) at one instant")


def check_charge(part: ModuleType) -> None:
    """A charge takes what is not there: the bucket owes it, and waits are longer"""
    clock = Clock(3.0)
    bucket = part.TokenBucket(10.0, 100.0, clock=clock)
    bucket.charge(130)
    near(bucket.available, 0.0, "available after charge(130) with a burst of 100")
    near(bucket.wait(0), 3.0, "wait(0) with 30 owed at 10 tokens a second")
    near(bucket.wait(20), 5.0, "wait(20) with 30 owed at 10 tokens a second")
    assert_equal(bucket.take(), False, "take with 30 owed")
    clock.now = 7.0
    near(bucket.available, 10.0, "available 4 s after 30 were owed")
    bucket.charge(4)
    near(bucket.available, 6.0, "available after charge(4) of 10")
    clock.now = 1000.0
    bucket.charge(30)
    near(bucket.available, 70.0, "available after charge(30), when it had long been full")
    bucket.charge(0)
    near(bucket.available, 70.0, "available after charge(0)")


def check_take_all(part: ModuleType) -> None:
    """take_all takes from every bucket, or from none and tells the longest wait"""
    clock = Clock(1.0)
    requests = part.TokenBucket(1.0, 2.0, clock=clock)
    tokens = part.TokenBucket(100.0, 1000.0, clock=clock)
    near(
        part.take_all(
            (
                (requests, 1),
                (tokens, 700),
            )
        ),
        0.0,
        "the first take_all",
    )
    near(requests.available, 1.0, "requests after the first take_all")
    near(tokens.available, 300.0, "tokens after the first take_all")
    near(
        part.take_all(
            (
                (requests, 1),
                (tokens, 700),
            )
        ),
        4.0,
        "take_all with 400 tokens missing",
    )
    near(requests.available, 1.0, "requests after a take_all that failed for want of tokens")
    near(tokens.available, 300.0, "tokens after a take_all that failed")
    near(
        part.take_all(
            (
                (tokens, 100),
                (requests, 1),
            )
        ),
        0.0,
        "the third take_all",
    )
    near(
        part.take_all(
            (
                (tokens, 100),
                (requests, 1),
            )
        ),
        1.0,
        "take_all with no request left",
    )
    near(tokens.available, 200.0, "tokens after a take_all that failed for want of requests")
    near(
        part.take_all(
            (
                (tokens, 400),
                (requests, 1),
            )
        ),
        2.0,
        "take_all with both missing",
    )
    near(part.take_all(()), 0.0, "take_all of nothing")
    call = partial(part.take_all, ((tokens, 100), (requests, 3)))
    assert_raises(GroundupError, call, "3 requests are asked of a burst of 2")
    near(tokens.available, 200.0, "tokens after a take_all that raised")


def check_bad_numbers(part: ModuleType) -> None:
    """Rates and bursts must be positive and finite, amounts not negative and at most the burst"""
    clock = Clock()
    nan, infinity = float("nan"), float("inf")
    for bad in (0.0, -1.0, nan, infinity):
        assert_raises(ValueError, partial(part.TokenBucket, bad, 1.0), f"the rate is {bad}")
        assert_raises(ValueError, partial(part.TokenBucket, 1.0, bad), f"the burst is {bad}")
    bucket = part.TokenBucket(1.0, 5.0, clock=clock)
    for n in (-1.0, nan):
        for method in ("take", "wait", "refund", "charge"):
            assert_raises(ValueError, partial(getattr(bucket, method), n), f"{method} gets {n}")
    for method in ("take", "wait"):
        call = partial(getattr(bucket, method), 5.5)
        assert_raises(GroundupError, call, f"{method}(5.5) with a burst of 5")
    near(bucket.available, 5.0, "available after calls that raised")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many takes, of which about half are admitted."""
    clock = Clock()
    bucket = part.TokenBucket(1000.0, 100.0, clock=clock)

    def traffic() -> object:
        admitted = 0
        for _ in range(size):
            clock.now += 0.0005
            admitted += bucket.take()
        return admitted

    return traffic


SIZE = 20_000
