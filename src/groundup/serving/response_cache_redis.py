"""The exact answer cache that several gateways share, in Redis."""

import math
from collections.abc import Awaitable, Callable

from groundup.serving.redis_connection import RedisConnection, RedisDown
from groundup.serving.response_cache import SingleFlight

__all__ = ["RedisResponseCache"]


class RedisResponseCache:
    """As `groundup.serving.response_cache.ResponseCache`, with the answers in Redis.

    Equal requests are computed once in each gateway, not once in all. Which answers leave when
    memory is short is Redis's decision: give it ``maxmemory`` and ``maxmemory-policy allkeys-lru``.

    While Redis is down there are no answers and none are kept: every request is computed.
    `RedisConnection` logs the outage; no request hangs.
    """

    def __init__(
        self, connection: RedisConnection, *, ttl: float, prefix: str = "groundup:answers:"
    ) -> None:
        """Make a cache.

        Args:
            connection: to Redis.
            ttl: seconds for which an answer is kept; infinity is for ever.
            prefix: of the keys in Redis.

        Raises:
            ValueError: ttl is not positive.
        """
        if not ttl > 0:
            raise ValueError(f"ttl must be positive, got {ttl}")
        self._connection = connection
        self._ttl_ms = None if ttl == math.inf else max(1, round(ttl * 1000))
        self._prefix = prefix
        self._flights = SingleFlight()

    async def get(self, key: str) -> bytes | None:
        """The answer kept for a key; None if there is none, or Redis is down."""
        try:
            answer = await self._connection.run(lambda redis: redis.get(self._prefix + key))
        except RedisDown:
            return None
        return answer.encode() if isinstance(answer, str) else answer

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer, if Redis is there."""
        try:
            await self._connection.run(
                lambda redis: redis.set(self._prefix + key, answer, px=self._ttl_ms)
            )
        except RedisDown:
            return

    async def get_or_compute(
        self, key: str, compute: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """As `ResponseCache.get_or_compute`."""
        if (answer := await self.get(key)) is not None:
            return answer, True

        async def fill() -> bytes:
            computed = await compute()
            await self.put(key, computed)
            return computed

        return await self._flights.run(key, fill), False
