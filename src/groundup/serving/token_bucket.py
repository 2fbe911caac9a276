"""Rate limiting by a token bucket: a steady rate, with room for bursts."""

import math
import time
from collections.abc import Callable, Sequence

from groundup.errors import GroundupError

__all__ = ["TokenBucket", "take_all"]


class TokenBucket:
    """A bucket that holds at most ``burst`` tokens and gains ``rate`` tokens a second.

    It is full at first. What is admitted takes its tokens out; what finds too few is turned away
    and takes none. So any window of t seconds admits at most ``rate * t + burst``.

    Nothing runs in the background: each call works out from the clock what the bucket holds now,
    fractions of a token included. For whole numbers of tokens rounding does not add up, however
    often it is asked and however long it runs: it stays below 1e-12 of what was taken in all.

    All calls return at once, and none awaits, so tasks of one event loop need no lock.

    Source: Turner 1986, "New directions in communications (or which way to the information
    age?)"; RFC 2697, section 3, whose bucket C this is.
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make a full bucket.

        Args:
            rate: tokens gained a second.
            burst: tokens the bucket can hold.
            clock: gives seconds from any beginning. Where it stands still or goes back, nothing
                is gained until it has passed the latest time at which the bucket was full.

        Raises:
            ValueError: rate or burst is not positive and finite.
        """
        for name, value in (("rate", rate), ("burst", burst)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        # Adding up small refills would add up their rounding. The level is instead worked out from
        # the last time at which the bucket was full, and all that was taken since.
        self._full_at = clock()
        self._taken = 0.0

    @property
    def available(self) -> float:
        """Tokens held now, from 0 to ``burst``."""
        return max(0.0, self._level(self._clock()))

    def take(self, n: float = 1) -> bool:
        """Take n tokens out if they are there, and none otherwise.

        Args:
            n: at least 0, and not necessarily whole.

        Returns:
            Whether they were taken.

        Raises:
            ValueError: n is negative or not a number.
            GroundupError: n is more than ``burst``, so that no wait would ever be enough.
        """
        self._check(n)
        now = self._clock()
        level = self._level(now)
        if level < n:
            return False
        self._remove(n, now, level)
        return True

    def wait(self, n: float = 1) -> float:
        """Seconds until n tokens are there, if none are taken before: what Retry-After tells.

        A `take` when the clock has moved on by that much succeeds; the rounding is upward.

        Args:
            n: as in `take`. Nothing is taken.

        Returns:
            0.0 if they are there now.

        Raises:
            ValueError, GroundupError: as `take`.
        """
        self._check(n)
        now = self._clock()
        missing = n - self._level(now)
        if missing <= 0:
            return 0.0
        wait = max(0.0, self._full_at - now) + missing / self._rate
        step = math.ulp(now + wait)
        while self._level(now + wait) < n:  # rounded down: the token would lack its last bit
            wait += step
            step *= 2
        return wait

    def refund(self, n: float) -> None:
        """Put n tokens back: what was reserved for an answer and not used.

        What does not fit into the bucket is lost.

        Args:
            n: at least 0, and no more than was taken for this answer.

        Raises:
            ValueError: n is negative or not a number.
        """
        if not n >= 0:
            raise ValueError(f"a refund must be at least 0, got {n}")
        self._taken -= n  # beyond the burst it is lost at the next `take`, as a rest is

    def charge(self, n: float) -> None:
        """Take n tokens out even if they are not there: what an answer used beyond its reserve.

        The bucket then owes what it lacked: ``available`` is 0 until that is gained, and `wait`
        counts it in.

        Args:
            n: at least 0, and it may exceed ``burst``.

        Raises:
            ValueError: n is negative or not a number.
        """
        if not n >= 0:
            raise ValueError(f"a charge must be at least 0, got {n}")
        now = self._clock()
        self._remove(n, now, self._level(now))

    def _remove(self, n: float, now: float, level: float) -> None:
        if level >= self._burst:
            self._full_at, self._taken = max(now, self._full_at), 0.0
        self._taken += n

    def _level(self, now: float) -> float:
        gained = max(0.0, now - self._full_at) * self._rate
        return min(self._burst, self._burst + (gained - self._taken))

    def _check(self, n: float) -> None:
        if not n >= 0:
            raise ValueError(f"tokens to take must be at least 0, got {n}")
        if n > self._burst:
            raise GroundupError(
                f"{n:g} tokens are asked for, and the limit admits at most {self._burst:g} at "
                f"once: ask for less, or raise the burst"
            )


def take_all(takes: Sequence[tuple[TokenBucket, float]]) -> float:
    """Take from every bucket or from none: a request counts, and so do its tokens.

    Args:
        takes: different buckets, each with the tokens to take from it.

    Returns:
        0.0 if all were taken; otherwise the seconds until every bucket could give its tokens, and
        nothing was taken.

    Raises:
        ValueError, GroundupError: as `TokenBucket.take`, of any of them; nothing was taken.
    """
    wait = max((bucket.wait(n) for bucket, n in takes), default=0.0)
    if wait == 0:
        for bucket, n in takes:
            bucket.take(n)
    return wait
