"""The promise of the token bucket, over every window of random traffic."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from groundup.course.grader.clock import Clock
from groundup.serving.token_bucket import TokenBucket


class BucketMachine(RuleBasedStateMachine):
    """No window of t seconds admits more than rate * t + burst, less what was refunded in it."""

    @initialize(
        rate=st.sampled_from([0.1, 3.0, 250.0, 1e6]),
        burst=st.integers(1, 1000),
        start=st.sampled_from([0.0, 1e6, 1e9]),
    )
    def start(self, rate: float, burst: int, start: float) -> None:
        self.rate, self.burst = Fraction(rate), burst
        self.clock = Clock(start)
        self.bucket = TokenBucket(rate, burst, clock=self.clock)
        self.events: list[tuple[Fraction, Fraction]] = []  # when, and how much was admitted

    @rule(share=st.floats(0, 1), waits=st.floats(0, 3))
    def take(self, share: float, waits: float) -> None:
        self.clock.now += waits * self.burst / float(self.rate)
        n = round(share * self.burst)
        if self.bucket.take(n):
            self.events.append((Fraction(self.clock.now), Fraction(n)))

    @rule(share=st.floats(0, 1))
    def take_after_the_wait(self, share: float) -> None:
        n = round(share * self.burst)
        self.clock.now += self.bucket.wait(n)
        assert self.bucket.take(n)
        self.events.append((Fraction(self.clock.now), Fraction(n)))

    @rule(share=st.floats(0, 1))
    def refund(self, share: float) -> None:
        if self.events and self.events[-1][1] > 0:
            n = round(share * float(self.events[-1][1]))
            self.bucket.refund(n)
            then, taken = self.events[-1]
            self.events[-1] = then, taken - n

    @rule(seconds=st.floats(0, 10))
    def go_back(self, seconds: float) -> None:
        """The clock; windows are of the time that it showed before."""
        now = self.clock.now
        self.clock.now -= seconds
        before = self.bucket.available
        assert 0 <= before <= self.burst
        self.clock.now = now

    @invariant()
    def every_window_keeps_the_promise(self) -> None:
        if not hasattr(self, "events"):
            return
        slack = Fraction(self.burst) / 10**6 + self.rate * Fraction(1, 10**6)
        for i, (begin, _) in enumerate(self.events):
            admitted = Fraction(0)
            for end, n in self.events[i:]:
                admitted += n
                assert admitted <= self.rate * (end - begin) + self.burst + slack


TestBucket = BucketMachine.TestCase
TestBucket.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(
    amounts=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 2)), max_size=30),
    extra=st.floats(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_asking_changes_nothing(amounts: list[tuple[int, float]], extra: float) -> None:
    """A bucket that is asked for its level and waits between admits what a quiet one does."""
    clock = Clock(1e5)
    quiet, asked = (TokenBucket(7.0, 20.0, clock=clock) for _ in range(2))
    for n, seconds in amounts:
        clock.now += seconds / 2
        assert 0 <= asked.available <= 20
        assert asked.wait(n) >= 0
        clock.now += seconds / 2
        assert quiet.take(n) == asked.take(n)
    clock.now += extra
    assert quiet.available == asked.available
