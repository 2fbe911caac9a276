"""What all routes share: the engine, its queue, its metrics, and what the server allows."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from groundup.engine.request import EngineStats, Request
from groundup.serving.admission import Admission
from groundup.serving.answers import Answers
from groundup.serving.api_error import ApiError
from groundup.serving.chat_prompt import ChatPrompts
from groundup.serving.engine_interface import AsyncEngine, ReportsStats
from groundup.serving.metrics import Metrics

__all__ = ["Admit", "Service", "ServiceSettings"]

# Asked before a request's body is read: the API key (None without keys) and the path. It refuses
# with an ApiError. Budgets and rate limits belong here.
Admit = Callable[[str | None, str], Awaitable[None]]


@dataclass(frozen=True)
class ServiceSettings:
    """What the server allows. The defaults suit one model on one machine."""

    api_keys: tuple[str, ...] = ()  # none: every caller may
    admit: Admit | None = None
    max_body: int = 4 * 2**20  # bytes
    body_deadline: float = 30.0  # seconds, for the whole body to come
    places: int = 64  # answers that the engine works on at once
    waiting_limit: int = 256  # requests that may wait for a place
    queue_deadline: float = 30.0  # seconds that they wait


class Service:
    """One engine, and everything that its routes need."""

    def __init__(self, engine: AsyncEngine, settings: ServiceSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.started = int(time())
        self.draining = False  # requests that are being answered are the last
        self.in_flight: set[asyncio.Task[Any]] = set()  # HTTP requests, probes excepted
        self.cancelled = False  # what was in flight when the time to drain was over
        self.prompts = ChatPrompts(engine.tokenizer, engine.context)
        self.admission = Admission(settings.places, settings.waiting_limit, settings.queue_deadline)
        self.metrics = Metrics(engine.model_name, self.stats)
        self._keys = [key.encode() for key in settings.api_keys]

    def answers(self, requests: Sequence[Request], stops: Sequence[str]) -> Answers:
        """The engine's answers to requests."""
        return Answers(self.engine, self.admission, self.metrics, requests, stops)

    def check_model(self, name: str) -> None:
        """Raises: ApiError (404) for a model that is not served."""
        if name != self.engine.model_name:
            raise ApiError(
                404,
                f"the model {name!r} is not served here, expected {self.engine.model_name!r}",
                param="model",
                code="model_not_found",
            )

    def authenticate(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The API key of a request; None where none is needed. Raises: ApiError (401).

        The time that it takes tells nothing of how much of a key was right.
        """
        if not self._keys:
            return None
        given = b""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
        known = False
        for key in self._keys:
            known |= hmac.compare_digest(key, given)
        if not known:
            raise ApiError(
                401,
                "the API key is missing or wrong: send Authorization: Bearer <key>",
                code="invalid_api_key",
            )
        return given.decode()

    def cancel(self) -> None:
        """End what is in flight: the server's time to drain is over."""
        self.cancelled = True
        for task in self.in_flight:
            task.cancel()

    def ready(self) -> bool:
        """Whether new requests are taken."""
        return not self.draining and self.engine.ready()

    def stats(self) -> EngineStats:
        """The engine's figures, and those of the queue before it."""
        stats: EngineStats = {"running": self.admission.running, "waiting": 0}
        if isinstance(self.engine, ReportsStats):
            stats |= self.engine.stats()
        stats["waiting"] += self.admission.waiting
        return stats
