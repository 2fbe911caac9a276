"""A connection to Redis that answers soon or says that Redis is down: it never hangs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from groundup.serving.circuit_breaker import CircuitBreaker

__all__ = ["RedisConnection", "RedisDown"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class RedisDown(Exception):  # noqa: N818 (it says what is the case)
    """Redis did not answer in time, or answered with an error."""


class RedisConnection:
    """Runs operations on Redis, each within a time limit.

    When operations fail, a circuit breaker stops asking for a while, so that an outage costs some
    requests the time limit, and not every one. What a caller does without Redis is its own
    decision; this tells it by `RedisDown`, at once. An outage is logged in one line when it begins
    and in one when it is over.
    """

    def __init__(
        self,
        client: Redis,
        *,
        timeout: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a client.

        Args:
            client: as `connect` makes it, or any other.
            timeout: seconds for an operation, connecting included.
            clock: of the circuit breaker.
        """
        self.client = client
        self._timeout = timeout
        self._breaker = CircuitBreaker(
            window=10, min_calls=3, failure_rate=0.5, max_open_seconds=10, clock=clock
        )
        self._down = False

    @classmethod
    def connect(cls, url: str, *, timeout: float = 0.25) -> "RedisConnection":
        """A connection to ``redis://host:port/db``, made when it is first used.

        Raises:
            ValueError: the URL is not one of Redis.
        """
        # Without retries: the caller's request is waiting, and has a better plan.
        client = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client, timeout=timeout)

    async def run(self, operation: Callable[[Redis], Awaitable[T]]) -> T:
        """The result of one operation.

        Raises:
            RedisDown: it failed or took too long, or Redis is left alone for the moment.
        """
        ticket = self._breaker.begin()
        if ticket is None:
            raise RedisDown("Redis has failed and is left alone for a moment")
        try:
            async with asyncio.timeout(self._timeout):
                result = await operation(self.client)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.end(ticket, failed=True)
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            if not self._down:
                self._down = True
                log.warning("Redis is down (%s): going on without it", reason)
            raise RedisDown(reason) from error
        except BaseException:  # the caller was cancelled, or the operation is wrong
            self._breaker.give_up(ticket)
            raise
        self._breaker.end(ticket, failed=False)
        if self._down:
            self._down = False
            log.warning("Redis is back")
        return result

    async def close(self) -> None:
        """Close the client's sockets."""
        await self.client.aclose()
