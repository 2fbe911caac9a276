"""What every API key has used, in Redis: for gateways on several machines."""

from collections.abc import Mapping

from groundup.serving.budget_ledger import Account, Use
from groundup.serving.redis_connection import RedisConnection, RedisDown

__all__ = ["RedisBudgetLedger"]


class RedisBudgetLedger:
    """As `groundup.serving.budget_ledger.BudgetLedger`, with a hash in Redis for each account.

    Keep Redis's data on disk (``appendonly yes``), or budgets begin anew when it is restarted.
    """

    def __init__(self, connection: RedisConnection, *, prefix: str = "groundup:used:") -> None:
        self._connection = connection
        self._prefix = prefix

    async def add(self, uses: Mapping[Account, Use]) -> dict[Account, Use]:
        """As `Ledger.add`. Where the answer of Redis is lost, it may have added all the same."""
        async with self._connection.client.pipeline(transaction=True) as pipe:
            for account, use in uses.items():
                name = f"{self._prefix}{account.key}:{account.period}"
                pipe.hincrby(name, "requests", use.requests)
                pipe.hincrby(name, "tokens", use.tokens)
            try:
                sums = await self._connection.run(lambda _: pipe.execute())
            except RedisDown as error:
                raise OSError(f"Redis: {error}") from error
        return {
            account: Use(requests, tokens)
            for account, requests, tokens in zip(uses, sums[::2], sums[1::2], strict=True)
        }

    async def close(self) -> None:
        """The connection is not this one's to close."""
