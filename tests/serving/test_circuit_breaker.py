"""The circuit breaker under random calls that overlap, end late, or are given up."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from groundup.course.grader.clock import Clock
from groundup.serving.circuit_breaker import CircuitBreaker


class BreakerMachine(RuleBasedStateMachine):
    """What must hold whatever happens; the exact rules are the part's own checks."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(100.0)
        self.breaker = CircuitBreaker(
            window=10.0, min_calls=3, failure_rate=0.5, max_open_seconds=8.0, clock=self.clock
        )
        self.calls: list[tuple[int, str]] = []  # tickets, and the state in which they were given
        self.probe: int | None = None

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        before = self.breaker.state
        self.clock.now += seconds
        after = self.breaker.state
        assert (before, after) in {(s, s) for s in ("closed", "open", "half-open")} | {
            ("open", "half-open")
        }
        assert seconds < 8 or after != "open"

    @rule()
    def begin(self) -> None:
        state, ticket = self.breaker.state, self.breaker.begin()
        assert (ticket is None) == (state == "open" or self.probe is not None)
        if ticket is not None:
            self.calls.append((ticket, state))
            if state == "half-open":
                self.probe = ticket

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100), failed=st.booleans())
    def end(self, which: int, failed: bool) -> None:
        before = self.breaker.state
        ticket, state = self.calls.pop(which % len(self.calls))
        self.breaker.end(ticket, failed=failed)
        if state == "half-open":
            assert self.breaker.state == ("open" if failed else "closed")
            self.probe = None
        elif before != "closed":
            assert self.breaker.state == before
        elif self.breaker.state == "open":
            assert self.breaker.retry_after == 1.0  # the first time since it was closed

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100))
    def give_up(self, which: int) -> None:
        before = self.breaker.state
        ticket, state = self.calls.pop(which % len(self.calls))
        self.breaker.give_up(ticket)
        assert self.breaker.state == before
        if state == "half-open":
            self.probe = None

    @invariant()
    def retry_after_is_the_time_until_half_open(self) -> None:
        wait = self.breaker.retry_after
        assert (wait > 0) == (self.breaker.state == "open")
        assert 0 <= wait <= 8.0


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
