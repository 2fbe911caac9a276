"""What stands before the routes of a server, be it an engine's or a gateway."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from groundup.serving.admission import Admission
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.callers import Callers

__all__ = ["Intake", "IntakeSettings"]


@dataclass(frozen=True)
class IntakeSettings:
    """What the server takes. The defaults suit one model on one machine."""

    max_body: int = 4 * 2**20  # bytes
    body_deadline: float = 30.0  # seconds, for the whole body to come
    places: int = 64  # answers that are worked on at once
    waiting_limit: int = 256  # requests that may wait for a place
    queue_deadline: float = 30.0  # seconds that they wait


class Intake:
    """Who may call, which answers are kept, what is in flight, and whether more is taken.

    A server enters it (``async with``) for as long as it runs.
    """

    def __init__(
        self,
        settings: IntakeSettings,
        registry: CollectorRegistry,
        callers: Callers | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        """Arguments:
        settings: limits of requests and of the queue.
        registry: of the server's metrics.
        callers: None lets everyone in.
        cache: None keeps no answers.
        """
        self.settings = settings
        self.registry = registry
        self.callers = callers or Callers()
        self.cache = cache
        self.admission = Admission(settings.places, settings.waiting_limit, settings.queue_deadline)
        self.draining = False  # requests that are being answered are the last
        self.in_flight: set[asyncio.Task[Any]] = set()  # HTTP requests, probes excepted
        self.cancelled = False  # what was in flight when the time to drain was over
        # Those that fail within a stream, which began with status 200, count by the status that
        # the failure would have had.
        self.errors = Counter(
            "groundup:request_errors", "Requests refused or failed.", ("status",), registry=registry
        )
        if cache is not None:
            registry.register(_CacheFigures(cache))

    def ready(self) -> bool:
        """Whether new requests are taken."""
        return not self.draining

    def cancel(self) -> None:
        """End what is in flight: the server's time to drain is over."""
        self.cancelled = True
        for task in self.in_flight:
            task.cancel()

    async def __aenter__(self) -> Self:
        await self.callers.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.callers.__aexit__(*error)


class _CacheFigures(Collector):
    """What the cache has counted, asked for when Prometheus asks."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        lookups = CounterMetricFamily(
            "groundup:answer_cache_lookups", "Lookups of kept answers.", labels=("outcome",)
        )
        for outcome in ("hit", "similar", "miss"):
            lookups.add_metric([outcome], self._cache.lookups[outcome])
        yield lookups
