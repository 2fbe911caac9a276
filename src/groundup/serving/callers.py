"""Who may call, and how much: API keys, their rate limits and their budgets."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from groundup.errors import GroundupError
from groundup.serving.api_error import ApiError
from groundup.serving.api_keys import ApiKey, digest_of, read_keys
from groundup.serving.budget_ledger import Use
from groundup.serving.budgets import Budgets
from groundup.serving.rate_limits import Admission, Limit, Limits, RateLimits
from groundup.serving.reply import Headers

__all__ = ["Callers", "NewLimits"]

logger = logging.getLogger(__name__)

NewLimits = Callable[[Mapping[str, Limit]], Limits]


class Callers:
    """The API keys of a server. Without any, everyone may call, without limits.

    While it is entered (``async with``), it looks every second whether the file of keys has
    changed, and brings the budgets' counts to their ledger.
    """

    def __init__(
        self,
        api_keys: Sequence[str] = (),
        *,
        file: Path | None = None,
        budgets: Budgets | None = None,
        new_limits: NewLimits = RateLimits,
        interval: float = 1.0,
    ) -> None:
        """Arguments:
        api_keys: keys without limits.
        file: of keys with limits, as `groundup.serving.api_keys` writes it.
        budgets: of those keys; without them, budgets are not kept.
        new_limits: makes the limits of one key: in memory, or in Redis.
        interval: seconds between two looks at the file.

        Raises:
            GroundupError: the file cannot be read, or is wrong.
        """
        self._plain = {digest_of(key.encode()): ApiKey(digest_of(key.encode())) for key in api_keys}
        self._file = file
        self._budgets = budgets
        self._new_limits = new_limits
        self._interval = interval
        self._limits: dict[ApiKey, Limits] = {}
        self._keys = self._plain | self._read()
        self._changed = self._file_time()
        self._end = asyncio.Event()
        self._housekeeping: asyncio.Task[None] | None = None

    @property
    def keyed(self) -> bool:
        """Whether callers need a key."""
        return self._file is not None or bool(self._plain)

    def authenticate(self, headers: Sequence[tuple[bytes, bytes]]) -> ApiKey | None:
        """The API key of a request; None where none is needed. Raises: ApiError (401).

        A key is looked up by its digest. So the time that it takes tells something of digests at
        most, and nothing of how much of a key was right.
        """
        if not self.keyed:
            return None
        given = b""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
        key = self._keys.get(digest_of(given))
        if key is None:
            raise ApiError(
                401,
                "the API key is missing or wrong: send Authorization: Bearer <key>",
                code="invalid_api_key",
            )
        return key

    async def admit(self, key: ApiKey | None) -> Headers:
        """Count one request.

        Returns:
            What the answer's headers tell of the limits, under OpenAI's names.

        Raises:
            ApiError: a limit or a budget refuses it (429). Nothing was counted then.
        """
        if key is None:
            return []
        if self._budgets is not None:
            self._budgets.check(key)
        headers: Headers = []
        if (limits := self._limits_of(key)) is not None:
            amounts = {} if key.requests_per_minute is None else {"requests": 1.0}
            admission = await limits.reserve(key.sha256, amounts)
            if admission.wait:
                raise _too_fast(key.requests_per_minute, "requests", admission.wait)
            headers = _headers(key, admission)
        if self._budgets is not None:
            self._budgets.count(key, Use(requests=1))
        return headers

    async def reserve(self, key: ApiKey | None, tokens: int) -> int:
        """Set tokens aside for an answer.

        Returns:
            How many, for `settle`: at most what the key's limit gives at once.

        Raises:
            ApiError: the limit has too few left (429).
        """
        if key is None:
            return 0
        if key.tokens_per_minute is not None and (limits := self._limits_of(key)) is not None:
            tokens = min(tokens, key.tokens_per_minute)
            admission = await limits.reserve(key.sha256, {"tokens": tokens})
            if admission.wait:
                raise _too_fast(key.tokens_per_minute, "tokens", admission.wait)
        if self._budgets is not None:
            self._budgets.reserve(key, tokens)
        return tokens

    async def settle(self, key: ApiKey | None, reserved: int, used: int) -> None:
        """Count what an answer has used, in place of what was set aside for it."""
        if key is None:
            return
        if self._budgets is not None:
            self._budgets.reserve(key, -reserved)
            self._budgets.count(key, Use(tokens=used))
        if key.tokens_per_minute is not None and (limits := self._limits_of(key)) is not None:
            if used < reserved:
                await limits.refund(key.sha256, {"tokens": reserved - used})
            elif used > reserved:
                await limits.charge(key.sha256, {"tokens": used - reserved})

    async def __aenter__(self) -> Self:
        """Raises: GroundupError: the ledger of the budgets cannot be read."""
        if self._budgets is not None:
            try:
                await self._budgets.load(self._keys.values())
            except OSError as error:
                raise GroundupError(f"cannot read the budgets: {error}") from None
        self._housekeeping = asyncio.create_task(self._keep_house())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._housekeeping is not None
        self._end.set()
        await self._housekeeping
        if self._budgets is not None:
            await self._budgets.close()

    async def _keep_house(self) -> None:
        while not self._end.is_set():
            try:
                async with asyncio.timeout(self._interval):
                    await self._end.wait()
            except TimeoutError:
                await self._look_at_file()
                if self._budgets is not None:
                    await self._budgets.flush()

    async def _look_at_file(self) -> None:
        changed = self._file_time()
        if changed == self._changed:
            return
        self._changed = changed
        try:
            self._keys = self._plain | self._read()
        except GroundupError as error:
            logger.warning("%s; the keys stay as they were", error)
            return
        kept = set(self._keys.values())
        self._limits = {key: limits for key, limits in self._limits.items() if key in kept}
        if self._budgets is not None:
            try:
                await self._budgets.load(kept)
            except OSError as error:
                logger.warning("the budgets of new keys cannot be read: %s", error)

    def _read(self) -> dict[str, ApiKey]:
        if self._file is None:
            return {}
        return {key.sha256: key for key in read_keys(self._file).values()}

    def _file_time(self) -> int:
        try:
            return self._file.stat().st_mtime_ns if self._file is not None else 0
        except OSError:
            return 0  # it will be said that it cannot be read

    def _limits_of(self, key: ApiKey) -> Limits | None:
        if key.requests_per_minute is None and key.tokens_per_minute is None:
            return None
        limits = self._limits.get(key)
        if limits is None:
            wanted = {"requests": key.requests_per_minute, "tokens": key.tokens_per_minute}
            limits = self._limits[key] = self._new_limits(
                {name: Limit(n / 60, n) for name, n in wanted.items() if n is not None}
            )
        return limits


def _too_fast(limit: int | None, what: str, wait: float) -> ApiError:
    return ApiError(
        429,
        f"this key's limit of {limit:,} {what} a minute is reached: ask again in {wait:.3g} s",
        code="rate_limit_exceeded",
        retry_after=math.ceil(wait),
    )


def _headers(key: ApiKey, admission: Admission) -> Headers:
    headers: Headers = []
    for name, limit in (("requests", key.requests_per_minute), ("tokens", key.tokens_per_minute)):
        if limit is None or name not in admission.left:
            continue
        left = admission.left[name]
        for what, value in (
            ("limit", f"{limit}"),
            ("remaining", f"{math.floor(left)}"),
            ("reset", f"{(limit - left) * 60 / limit:.3f}s"),
        ):
            headers.append((f"x-ratelimit-{what}-{name}".encode(), value.encode()))
    return headers
