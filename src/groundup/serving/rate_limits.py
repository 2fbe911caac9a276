"""Rate limits by client: several token buckets each, such as requests and tokens."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from groundup.errors import GroundupError
from groundup.serving.token_bucket import TokenBucket, take_all

__all__ = ["Admission", "Limit", "Limits", "RateLimits", "check_amounts"]


class Limit(NamedTuple):
    """What a bucket allows: `TokenBucket`."""

    rate: float  # a second
    burst: float


class Admission(NamedTuple):
    """Whether a request may go on."""

    wait: float  # 0.0: it may, and its amounts are taken; else seconds until it could: Retry-After
    left: dict[str, float]  # of each limit, after this


class Limits(Protocol):
    """The buckets of each client, wherever they are."""

    async def reserve(self, client: str, amounts: Mapping[str, float]) -> Admission: ...

    async def refund(self, client: str, amounts: Mapping[str, float]) -> None: ...

    async def charge(self, client: str, amounts: Mapping[str, float]) -> None: ...


class RateLimits:
    """The buckets of each client, in this process's memory.

    `groundup.serving.rate_limits_redis` has the same interface for several gateways. The methods
    are coroutines for its sake; these never wait.
    """

    def __init__(
        self,
        limits: Mapping[str, Limit],
        *,
        max_clients: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make limits that hold for each client alike.

        Args:
            limits: by name, such as ``{"requests": Limit(1, 10), "tokens": Limit(1000, 20_000)}``.
            max_clients: for more, the buckets of the one longest unseen are forgotten, and its next
                request finds them full: memory is bounded, and the limits are a little less so.
            clock: gives seconds from any beginning.

        Raises:
            ValueError: there are no limits, a rate or a burst is not positive and finite, or
                max_clients is less than 1.
        """
        if not limits or max_clients < 1:
            raise ValueError(
                f"at least one limit and one client are needed, got {dict(limits)} and "
                f"max_clients {max_clients}"
            )
        self._limits = dict(limits)
        self._max_clients = max_clients
        self._clock = clock
        self._clients: OrderedDict[str, dict[str, TokenBucket]] = OrderedDict()
        self._buckets()  # now, not at the first request, it is known that the numbers are good

    async def reserve(self, client: str, amounts: Mapping[str, float]) -> Admission:
        """Take the amounts from the client's buckets, all of them or none.

        Args:
            client: whom to count for, such as the hash of an API key.
            amounts: by the names of the limits; what is not named is not asked of.

        Raises:
            ValueError: an amount is negative, or of no limit.
            GroundupError: an amount exceeds its limit's burst, so that no wait would do.
        """
        check_amounts(self._limits, amounts)
        buckets = self._clients.pop(client, None) or self._buckets()
        self._clients[client] = buckets  # the latest seen is last
        if len(self._clients) > self._max_clients:
            self._clients.popitem(last=False)
        wait = take_all([(buckets[name], n) for name, n in amounts.items()])
        return Admission(wait, {name: bucket.available for name, bucket in buckets.items()})

    async def refund(self, client: str, amounts: Mapping[str, float]) -> None:
        """Put back what was reserved and not used, as far as it fits.

        Raises:
            ValueError: an amount is negative, or of no limit.
        """
        check_amounts(self._limits, amounts, settled=True)
        if buckets := self._clients.get(client):
            for name, n in amounts.items():
                buckets[name].refund(n)

    async def charge(self, client: str, amounts: Mapping[str, float]) -> None:
        """Take what was used beyond what was reserved, whether it is there or not.

        Raises:
            ValueError: an amount is negative, or of no limit.
        """
        check_amounts(self._limits, amounts, settled=True)
        if buckets := self._clients.get(client):
            for name, n in amounts.items():
                buckets[name].charge(n)

    def _buckets(self) -> dict[str, TokenBucket]:
        return {
            name: TokenBucket(*limit, clock=self._clock) for name, limit in self._limits.items()
        }


def check_amounts(
    limits: Mapping[str, Limit], amounts: Mapping[str, float], *, settled: bool = False
) -> None:
    """Refuse amounts that no bucket could ever give; settled ones are given or used already.

    Raises:
        ValueError: an amount is of no limit, negative, or not a number.
        GroundupError: an amount exceeds its limit's burst.
    """
    for name, n in amounts.items():
        if name not in limits:
            raise ValueError(f"there is no limit {name!r}: there are {sorted(limits)}")
        if not n >= 0:
            raise ValueError(f"an amount of {name} must be at least 0, got {n}")
        if n > limits[name].burst and not settled:
            raise GroundupError(
                f"{n:g} {name} are asked for, and the limit admits at most "
                f"{limits[name].burst:g} at once: ask for less"
            )
