"""The last hour of the model servers' figures, read from their /metrics every two seconds."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from groundup.app.model_server import Endpoint
from groundup.serving.latency_histogram import LatencyHistogram

__all__ = ["Figures", "MetricsHistory", "Sample", "figures", "parse_sample"]

INTERVAL = 2.0  # seconds
KEPT = 1800  # points of a model: an hour
WINDOW = 30.0  # seconds over which rates and quantiles are taken
REACH = 16  # samples: a window's
PATIENCE = 1.5  # seconds for one answer

COUNTERS = {
    "requests": "vllm:request_success_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "tokens": "vllm:generation_tokens_total",
    "errors": "groundup:request_errors_total",
    "queries": "vllm:prefix_cache_queries_total",
    "hits": "vllm:prefix_cache_hits_total",
    "preemptions": "vllm:num_preemptions_total",
}
GAUGES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "kv_use": "vllm:kv_cache_usage_perc",
}
HISTOGRAMS = {
    "first_token": "vllm:time_to_first_token_seconds_bucket",
    "between_tokens": "vllm:inter_token_latency_seconds_bucket",
}


@dataclass(frozen=True)
class Sample:
    """What a server told at one time. Counters and buckets count from the server's start."""

    at: float  # seconds since 1970
    values: Mapping[str, float]  # of COUNTERS and GAUGES, those that it has
    buckets: Mapping[str, Mapping[float, float]]  # of HISTOGRAMS: cumulative counts by upper bound


@dataclass(frozen=True)
class Figures:
    """What is shown of a model at one time; None: there was nothing to take it from."""

    at: float
    requests: float | None = None  # a second
    tokens: float | None = None  # generated, a second
    errors: float | None = None  # a second
    first_token: tuple[float, float] | None = None  # seconds: median and 95th percentile
    between_tokens: tuple[float, float] | None = None
    running: float | None = None
    waiting: float | None = None
    kv_use: float | None = None  # share, 0 to 1
    hit_share: float | None = None  # of the prompts' tokens, those that the prefix cache had


def parse_sample(text: str, at: float) -> Sample:
    """Read Prometheus's text format.

    Raises:
        ValueError: it is none.
    """
    values: dict[str, float] = {}
    buckets: dict[str, dict[float, float]] = {}
    scalars = {full: name for name, full in (COUNTERS | GAUGES).items()}
    histograms = {full: name for name, full in HISTOGRAMS.items()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if name := scalars.get(sample.name):
                values[name] = values.get(name, 0.0) + sample.value
            elif name := histograms.get(sample.name):
                counts = buckets.setdefault(name, {})
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sample.value
    return Sample(at, values, buckets)


def figures(samples: Sequence[Sample]) -> Figures:
    """The figures at the last sample's time, taken over the samples within `WINDOW` before it."""
    last = samples[-1]
    first = next(s for s in samples if s.at >= last.at - WINDOW)
    seconds = last.at - first.at
    grown = {
        name: last.values[name] - first.values.get(name, 0.0)
        for name in COUNTERS
        if name in last.values
    }
    grown.setdefault("errors", 0.0)  # a status is counted from its first error on

    def rate(name: str) -> float | None:
        return grown[name] / seconds if name in grown and seconds > 0 else None

    return Figures(
        last.at,
        rate("requests"),
        rate("tokens"),
        rate("errors"),
        quantiles(first, last, "first_token"),
        quantiles(first, last, "between_tokens"),
        last.values.get("running"),
        last.values.get("waiting"),
        last.values.get("kv_use"),
        grown["hits"] / grown["queries"] if grown.get("queries") and "hits" in grown else None,
    )


def quantiles(first: Sample, last: Sample, name: str) -> tuple[float, float] | None:
    """The median and the 95th percentile of what was observed between two samples."""
    before, after = first.buckets.get(name, {}), last.buckets.get(name, {})
    grown = {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}
    bounds = [bound for bound in grown if math.isfinite(bound)]
    if not bounds or not max(grown.values()):
        return None
    histogram = LatencyHistogram(bounds)
    for (_, below), (bound, count) in pairwise([(0.0, 0.0), *grown.items()]):
        if count > below:
            histogram.observe(bound, int(count - below))  # at its bucket's bound: all that is known
    return histogram.quantile(0.5), histogram.quantile(0.95)


@dataclass
class MetricsHistory:
    """The figures of an hour, by model; taken from `start` to `close`."""

    endpoints: Callable[[], Mapping[str, Endpoint]]  # those that answer now
    points: dict[str, deque[Figures]] = field(default_factory=dict)
    _samples: dict[str, deque[Sample]] = field(default_factory=dict)  # the last ones
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take samples."""
        self._task = asyncio.create_task(self._run(), name="metrics history")

    async def close(self) -> None:
        """Take no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def figures(self, model: str, most: int = 300) -> list[Figures]:
        """The figures of a model over the last hour, the newest at the end, in so many points."""
        points = list(self.points.get(model, ()))
        return points[:: -max(1, math.ceil(len(points) / most))][::-1]

    def take(self, model: str, sample: Sample) -> None:
        """Keep a sample. Where the server began anew, those before it count no more for rates."""
        recent = self._samples.setdefault(model, deque(maxlen=REACH))
        if not recent or any(
            sample.values.get(name, 0.0) < recent[-1].values.get(name, 0.0) for name in COUNTERS
        ):
            recent.clear()
            # It began at nothing: what it did before its first sample counts.
            recent.append(Sample(sample.at - INTERVAL, {}, {}))
        recent.append(sample)
        self.points.setdefault(model, deque(maxlen=KEPT)).append(figures(list(recent)))

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(
                    *(self._ask(session, *each) for each in self.endpoints().items())
                )
                await asyncio.sleep(INTERVAL)

    async def _ask(self, session: aiohttp.ClientSession, model: str, endpoint: Endpoint) -> None:
        url = f"{endpoint.base_url.removesuffix('/v1')}/metrics"
        headers = {"authorization": f"Bearer {endpoint.key}"}
        # One that does not answer leaves a gap, which the charts show.
        with suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with session.get(url, headers=headers) as response:
                if response.status == 200:
                    self.take(model, parse_sample(await response.text(), time.time()))
