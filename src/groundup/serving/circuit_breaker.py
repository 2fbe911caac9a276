"""The circuit breaker: a replica that fails is left alone for a while, and then tried again."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Says whether a call may be made, from how the last ones went.

    *Closed*: calls are made. When at least ``min_calls`` of them ended within the last ``window``
    seconds, and at least the share ``failure_rate`` of these failed, the breaker opens.

    *Open*: no calls. The first time for ``open_seconds``; each time that a probe fails twice as
    long as before, up to ``max_open_seconds``.

    *Half-open*: one call at a time is let through as a probe. If it succeeds, the breaker closes
    and has forgotten what was before; if it fails, it opens again. If it is given up, the next
    call is the probe.

    Every call that `begin` lets through must come to an `end` or be given up, once, with the ticket
    that `begin` gave. A call that began before the breaker last changed its state tells nothing
    about now: its end is ignored. So slow failures of the past cannot open it again, and a late
    success cannot close it.

    Source: Nygard 2018, "Release it!", second edition, chapter 5, "Circuit breaker".
    """

    def __init__(
        self,
        *,
        window: float = 30.0,
        min_calls: int = 5,
        failure_rate: float = 0.5,
        open_seconds: float = 1.0,
        max_open_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a closed breaker.

        Args:
            window: seconds for which the end of a call counts.
            min_calls: fewer than this open nothing.
            failure_rate: above 0, at most 1. With 1, ``min_calls`` failures in a row open it.
            open_seconds: how long it stays open the first time.
            max_open_seconds: the longest that it stays open.
            clock: gives seconds from any beginning.

        Raises:
            ValueError: a number is out of its range.
        """
        for name, value in (("window", window), ("open_seconds", open_seconds)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if min_calls < 1:
            raise ValueError(f"min_calls must be at least 1, got {min_calls}")
        if not 0 < failure_rate <= 1:
            raise ValueError(f"failure_rate must be above 0 and at most 1, got {failure_rate}")
        if not open_seconds <= max_open_seconds < math.inf:
            raise ValueError(
                f"max_open_seconds must be finite and at least open_seconds, {open_seconds}, "
                f"got {max_open_seconds}"
            )
        self._window = window
        self._min_calls = min_calls
        self._failure_rate = failure_rate
        self._open_seconds = open_seconds
        self._max_open_seconds = max_open_seconds
        self._clock = clock
        self._ends: deque[tuple[float, bool]] = deque()  # of this closed state: when, and failed?
        self._failures = 0  # among them
        self._next_open_seconds = open_seconds
        self._open_until: float | None = None  # None when closed
        self._probing = False
        self._era = 1  # grows when tickets lose their meaning

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What it is now."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be tried: 0.0 unless it is open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    def begin(self) -> int | None:
        """Ask to make a call.

        Returns:
            A ticket, above 0, for `end` or `give_up`; None if the call must not be made: the
            breaker is open, or half-open with a probe under way.
        """
        state = self.state
        if state == "open" or (state == "half-open" and self._probing):
            return None
        self._probing = state == "half-open"
        return self._era

    def end(self, ticket: int, *, failed: bool) -> None:
        """Tell how a call went.

        Args:
            ticket: what `begin` gave for it. Old ones are ignored.
            failed: whether the failure is the replica's own. A request that it refused with good
                reason did not fail.
        """
        if ticket != self._era:
            return
        if self._probing:
            self._probing = False
            if failed:
                self._open()
            else:
                self._close()
        else:  # an open breaker has given no ticket of its era
            self._count(failed)

    def give_up(self, ticket: int) -> None:
        """Tell that a call will have no end that says anything, such as when its user went away."""
        if ticket == self._era and self._probing:
            self._probing = False
            self._era += 1

    def _count(self, failed: bool) -> None:
        now = self._clock()
        self._ends.append((now, failed))
        self._failures += failed
        while self._ends[0][0] <= now - self._window:
            self._failures -= self._ends.popleft()[1]
        calls = len(self._ends)
        if calls >= self._min_calls and self._failures / calls >= self._failure_rate:
            self._open()

    def _open(self) -> None:
        self._open_until = self._clock() + self._next_open_seconds
        self._next_open_seconds = min(2 * self._next_open_seconds, self._max_open_seconds)
        self._era += 1
        self._forget()

    def _close(self) -> None:
        self._next_open_seconds = self._open_seconds
        self._open_until = None
        self._forget()

    def _forget(self) -> None:
        self._ends.clear()
        self._failures = 0
