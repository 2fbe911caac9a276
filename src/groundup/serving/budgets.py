"""Budgets: how many requests and tokens an API key may use in a day, in a month, or at all."""

import logging
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from groundup.serving.api_error import ApiError
from groundup.serving.api_keys import ApiKey
from groundup.serving.budget_ledger import Account, Ledger, Use

__all__ = ["Budgets"]

logger = logging.getLogger(__name__)


def now_in_utc() -> datetime:
    return datetime.now(UTC)


class Budgets:
    """Counts what keys use, and refuses those that have used what they may.

    Counting and refusing look at this process's memory alone. `flush`, called every second, adds
    what is new to the ledger and learns what other processes have added. So a crash forgets the
    last second, and n processes together may exceed a budget by what they serve in a second.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], datetime] = now_in_utc) -> None:
        """Arguments:
        ledger: where uses are added up.
        clock: the time in UTC.
        """
        self._ledger = ledger
        self._clock = clock
        self._used: dict[Account, Use] = {}  # as far as is known here, what is pending included
        self._pending: dict[Account, Use] = {}  # not yet in the ledger
        self._reserved: dict[str, int] = {}  # tokens of answers under way, by key
        self._failing = False

    async def load(self, keys: Iterable[ApiKey]) -> None:
        """Learn what keys have used before.

        Raises:
            OSError: the ledger cannot be read.
        """
        unknown = {a: Use() for key in keys if (a := self._account(key)) not in self._used}
        if unknown:
            self._used |= await self._ledger.add(unknown)

    def used(self, key: ApiKey) -> Use:
        """What a key has used in its present period."""
        return self._used.get(self._account(key), Use())

    def check(self, key: ApiKey) -> None:
        """Raises: ApiError (429): nothing is left of a budget."""
        used = self.used(key)
        if key.request_budget is not None and used.requests >= key.request_budget:
            raise self._spent(key, f"{key.request_budget:,} requests")
        tokens = used.tokens + self._reserved.get(key.sha256, 0)
        if key.token_budget is not None and tokens >= key.token_budget:
            raise self._spent(key, f"{key.token_budget:,} tokens")

    def reserve(self, key: ApiKey, tokens: int) -> None:
        """Set tokens aside for an answer under way; negative numbers give them back."""
        left = self._reserved.get(key.sha256, 0) + tokens
        if left:
            self._reserved[key.sha256] = left
        else:
            del self._reserved[key.sha256]

    def count(self, key: ApiKey, use: Use) -> None:
        """Count what was used."""
        account = self._account(key)
        self._used[account] = _sum(self._used.get(account), use)
        self._pending[account] = _sum(self._pending.get(account), use)

    async def flush(self) -> None:
        """Bring what is pending to the ledger. If that fails, it stays pending, and is logged."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            sums = await self._ledger.add(pending)
        except OSError as error:
            for account, use in pending.items():
                self._pending[account] = _sum(self._pending.get(account), use)
            if not self._failing:
                self._failing = True
                logger.warning("budgets cannot be written (%s): they are counted here", error)
            return
        self._failing = False
        for account, use in sums.items():
            self._used[account] = _sum(self._pending.get(account), use)
        now = self._clock()
        present = {_period(now, each) for each in ("day", "month", "total")}
        for account in [a for a in self._used if a.period not in present]:
            del self._used[account]

    async def close(self) -> None:
        """Flush, and close the ledger."""
        await self.flush()
        await self._ledger.close()

    def _account(self, key: ApiKey) -> Account:
        return Account(key.sha256, _period(self._clock(), key.period))

    def _spent(self, key: ApiKey, what: str) -> ApiError:
        now = self._clock()
        if key.period == "total":
            message = f"this key's budget of {what} is used up: ask for another"
            return ApiError(429, message, code="insufficient_quota")
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if key.period == "day":
            ends = midnight + timedelta(days=1)
        else:
            ends = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        return ApiError(
            429,
            f"this key's budget of {what} a {key.period} is used up: it begins anew at "
            f"{ends:%Y-%m-%d %H:%M} UTC",
            code="insufficient_quota",
            retry_after=math.ceil((ends - now).total_seconds()),
        )


def _period(now: datetime, period: str) -> str:
    if period == "total":
        return period
    month = f"{now.year}-{now.month:02}"  # strftime takes four times as long
    return month if period == "month" else f"{month}-{now.day:02}"


def _sum(one: Use | None, other: Use) -> Use:
    if one is None:
        return other
    return Use(one.requests + other.requests, one.tokens + other.tokens)
