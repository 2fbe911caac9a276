"""The exact answer cache that several gateways share, in Redis."""

import math

from groundup.serving.redis_connection import RedisConnection, RedisDown

__all__ = ["RedisResponseCache"]


class RedisResponseCache:
    """The answers of `groundup.serving.answer_cache.AnswerCache`, where several can find them.

    Which answers leave when memory is short is Redis's decision: give it ``maxmemory`` and
    ``maxmemory-policy allkeys-lru``.

    While Redis is down there are no answers and none are kept. `RedisConnection` logs the outage;
    no request hangs.
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
