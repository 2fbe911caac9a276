"""What an engine's routes share: the engine, its prompts, its queue, its metrics."""

from collections.abc import Sequence
from time import time

import numpy as np
from numpy.typing import NDArray

from groundup.engine.request import EngineStats, Request
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.answers import Answers
from groundup.serving.api_error import ApiError
from groundup.serving.callers import Callers
from groundup.serving.chat_prompt import ChatPrompts
from groundup.serving.engine_interface import AsyncEngine, ReportsStats
from groundup.serving.intake import Intake, IntakeSettings
from groundup.serving.metrics import Metrics
from groundup.serving.traces import current_trace

__all__ = ["Service"]


class Service(Intake):
    """One engine, and everything that its routes need."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: IntakeSettings,
        callers: Callers | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self.engine = engine
        self.started = int(time())
        self.prompts = ChatPrompts(engine.tokenizer, engine.context)
        self.metrics = Metrics(engine.model_name, self.stats)
        super().__init__(settings, self.metrics.registry, callers, cache)

    def answers(self, requests: Sequence[Request], stops: Sequence[str]) -> Answers:
        """The engine's answers to requests."""
        return Answers(self.engine, self.admission, self.metrics, requests, stops)

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The embedding of a text, (dim,)."""
        vectors = await self.engine.embed([self.engine.tokenizer.encode(text, special=False)])
        return vectors.reshape(-1)

    def check_model(self, name: str) -> None:
        """Raises: ApiError (404) for a model that is not served."""
        names = [self.engine.model_name, *self.engine.adapters]
        served = name in names
        if (trace := current_trace.get()) is not None:
            trace.model(name, served=served)
        if not served:
            raise ApiError(
                404,
                f"the model {name!r} is not served here, expected {' or '.join(map(repr, names))}",
                param="model",
                code="model_not_found",
            )

    def adapter_of(self, name: str) -> str | None:
        """The adapter that the field ``model`` names; None is the model itself.

        Raises: ApiError (404) for a model that is not served.
        """
        self.check_model(name)
        return name if name in self.engine.adapters else None

    def ready(self) -> bool:
        """Whether new requests are taken."""
        return super().ready() and self.engine.ready()

    def stats(self) -> EngineStats:
        """The engine's figures, and those of the queue before it."""
        stats: EngineStats = {"running": self.admission.running, "waiting": 0}
        if isinstance(self.engine, ReportsStats):
            stats |= self.engine.stats()
        stats["waiting"] += self.admission.waiting
        return stats
