"""One replica behind the gateway: an endpoint of OpenAI's interface, and how it has been doing."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from msgspec import Struct

from groundup.serving.circuit_breaker import CircuitBreaker
from groundup.serving.gateway_config import BreakerConfig, HealthConfig, UpstreamConfig, name_of
from groundup.serving.traces import current_trace

__all__ = ["Upstream", "UpstreamFailed"]

logger = logging.getLogger(__name__)

LONGEST_REST = 60.0  # seconds that a replica which answered 429 is left alone at most


class UpstreamFailed(Exception):  # noqa: N818 (it says what is the case)
    """A try that gave no answer for the caller. Another replica, or another try, may give one."""

    def __init__(self, reason: str, *, busy: bool = False, late: bool = False) -> None:
        """Arguments:
        reason: for the message.
        busy: it answered 429, which says nothing bad of it.
        late: it did not answer in time.
        """
        super().__init__(reason)
        self.busy = busy
        self.late = late


class _Listed(Struct):
    id: str


class _Models(Struct):
    data: list[_Listed]


class Upstream:
    """An endpoint with its breaker, what is outstanding, and the models that it serves."""

    def __init__(
        self,
        config: UpstreamConfig,
        breaker: BreakerConfig,
        health: HealthConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name_of(config)
        self.weight = config.weight
        self.outstanding = 0  # requests whose answers have not ended
        self.up = True  # until a probe says otherwise
        self.trouble = ""  # what the last probe met
        self.breaker = CircuitBreaker(**msgspec.structs.asdict(breaker), clock=clock)
        declared = config.models
        self.models: dict[str, str] = (  # what callers say, and what this endpoint calls it
            declared if isinstance(declared, dict) else {name: name for name in declared or ()}
        )
        self.knows_models = declared is not None
        self._ask_models = declared is None
        self._url = config.url.rstrip("/")
        self._health = health
        self._clock = clock
        self._rests_until = 0.0
        key = os.environ.get(config.api_key_env) if config.api_key_env is not None else None
        # Compressed answers would only be unpacked here.
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"

    def available(self, model: str) -> bool:
        """Whether it may be asked for a model now."""
        return self.up and model in self.models and self.ready_in() == 0

    @property
    def busy(self) -> bool:
        """Whether it has asked to be left alone."""
        return self.up and self._rests_until > self._clock()

    def ready_in(self) -> float:
        """Seconds until its breaker, and the time that it asked for, let it be asked."""
        return max(self.breaker.retry_after, self._rests_until - self._clock(), 0.0)

    def condition(self) -> str:
        """What keeps it from being asked, for messages."""
        if not self.up:
            return f"{self.name} is down: {self.trouble}"
        if (wait := self.ready_in()) > 0:
            return f"{self.name} has failed and is left alone for {wait:.1f} s"
        return f"{self.name} is being tried again"

    def rest(self, seconds: float) -> None:
        """Leave it alone for a while: it is busy."""
        self._rests_until = self._clock() + min(seconds, LONGEST_REST)

    @asynccontextmanager
    async def post(
        self, session: aiohttp.ClientSession, path: str, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; leaving the context before the answer's end cancels it there.

        Args:
            path: as ``/chat/completions``.
            body: JSON.

        Raises:
            aiohttp.ClientError, OSError: there is no answer.
        """
        self.outstanding += 1
        headers = self._headers
        if (trace := current_trace.get()) is not None:
            headers = headers | trace.headers()
        try:
            async with session.post(
                self._url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                yield response
        finally:
            self.outstanding -= 1

    async def probe(self, session: aiohttp.ClientSession) -> None:
        """Ask whether it is there, and what it serves."""
        try:
            async with asyncio.timeout(self._health.deadline):
                async with session.get(self._url + "/models", headers=self._headers) as response:
                    answer = await response.read()
            if response.status != 200:
                raise UpstreamFailed(f"GET /models answered {response.status}")
            if self._ask_models:
                listed = msgspec.json.decode(answer, type=_Models).data
                self.models = {model.id: model.id for model in listed}
                self.knows_models = True
        except (aiohttp.ClientError, OSError, UpstreamFailed, msgspec.DecodeError) as error:
            trouble = str(error) or type(error).__name__
            if self.up:
                logger.warning("%s is down: %s", self.name, trouble)
            self.up, self.trouble = False, trouble
            return
        if not self.up:
            logger.warning("%s is back", self.name)
        self.up, self.trouble = True, ""

    async def watch(self, session: aiohttp.ClientSession) -> None:
        """Probe it again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._health.interval)
            await self.probe(session)
