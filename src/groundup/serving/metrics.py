"""What is counted and timed, under the names and with the meaning that vLLM gave them.

Dashboards and autoscalers for vLLM read them unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:  # a gateway has no engine, and need not load one's libraries
    from groundup.engine.request import EngineStats

__all__ = ["FIRST_TOKEN", "WHOLE_REQUEST", "Metrics"]

# vLLM's buckets.
FIRST_TOKEN = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
BETWEEN_TOKENS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
WHOLE_REQUEST = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
LENGTHS = tuple(m * 10**e for e in range(6) for m in (1, 2, 5))  # tokens
MODEL = ("model_name",)


class Metrics:
    """One server's metrics, in a registry of its own. The server's parts count; Prometheus reads.

    ``request_success`` counts answers by how they ended: stop, length, or abort for those whose
    client left.
    """

    def __init__(self, model: str, now: Callable[[], EngineStats]) -> None:
        """``now``: what the engine and the queue report when the metrics are read."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self.prompt_tokens = Counter(
            "vllm:prompt_tokens", "Tokens of prompts.", MODEL, registry=registry
        ).labels(model)
        self.generation_tokens = Counter(
            "vllm:generation_tokens", "Tokens generated.", MODEL, registry=registry
        ).labels(model)

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, MODEL, buckets=buckets, registry=registry).labels(model)

        self.time_to_first_token = histogram(
            "vllm:time_to_first_token_seconds",
            "Seconds from a request's arrival to its first token.",
            FIRST_TOKEN,
        )
        self.inter_token_latency = histogram(
            "vllm:inter_token_latency_seconds",
            "Seconds from one token of an answer to the next.",
            BETWEEN_TOKENS,
        )
        self.time_per_output_token = histogram(
            "vllm:request_time_per_output_token_seconds",
            "Seconds per token of an answer after its first, averaged over the answer.",
            BETWEEN_TOKENS,
        )
        self.request_latency = histogram(
            "vllm:e2e_request_latency_seconds",
            "Seconds from a request's arrival to its answer's end.",
            WHOLE_REQUEST,
        )
        self.queue_time = histogram(
            "vllm:request_queue_time_seconds",
            "Seconds that a request waited for a place.",
            WHOLE_REQUEST,
        )
        self.prefill_time = histogram(
            "vllm:request_prefill_time_seconds",
            "Seconds from a request's place to its first token.",
            WHOLE_REQUEST,
        )
        self.decode_time = histogram(
            "vllm:request_decode_time_seconds",
            "Seconds from an answer's first token to its last.",
            WHOLE_REQUEST,
        )
        self.request_prompt_tokens = histogram(
            "vllm:request_prompt_tokens", "Tokens of a request's prompt.", LENGTHS
        )
        self.request_generation_tokens = histogram(
            "vllm:request_generation_tokens", "Tokens of an answer.", LENGTHS
        )
        success = Counter(
            "vllm:request_success",
            "Answers, by how they ended.",
            (*MODEL, "finished_reason"), registry=registry,
        )  # fmt: skip
        self.request_success = {
            reason: success.labels(model, reason) for reason in ("stop", "length", "abort")
        }
        registry.register(_Engine(model, now))


class _Engine(Collector):
    """What the engine reports, asked for when Prometheus asks."""

    def __init__(self, model: str, now: Callable[[], EngineStats]) -> None:
        self._model = model
        self._now = now

    def collect(self) -> Iterable[Metric]:
        stats = self._now()
        for key, name, text in (
            ("running", "vllm:num_requests_running", "Requests in the engine's batch."),
            ("waiting", "vllm:num_requests_waiting", "Requests that wait for their turn."),
            ("kv_cache_usage", "vllm:kv_cache_usage_perc", "Share of the KV blocks in use, 0-1."),
        ):
            if key in stats:
                gauge = GaugeMetricFamily(name, text, labels=MODEL)
                gauge.add_metric([self._model], stats[key])  # type: ignore[literal-required]
                yield gauge
        for key, name, text in (
            ("prefix_cache_queries", "vllm:prefix_cache_queries", "Prompt tokens looked up."),
            ("prefix_cache_hits", "vllm:prefix_cache_hits", "Prompt tokens found."),
            ("preemptions", "vllm:num_preemptions", "Requests put back into the queue."),
            ("drafts", "vllm:spec_decode_num_drafts", "Drafts of tokens."),
            ("drafted_tokens", "vllm:spec_decode_num_draft_tokens", "Tokens drafted."),
            ("accepted_tokens", "vllm:spec_decode_num_accepted_tokens", "Drafted tokens accepted."),
        ):
            if key in stats:
                counter = CounterMetricFamily(name, text, labels=MODEL)
                counter.add_metric([self._model], stats[key])  # type: ignore[literal-required]
                yield counter
