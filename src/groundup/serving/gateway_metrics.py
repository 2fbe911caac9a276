"""What a gateway counts and times. Where vLLM has a name for it, under that name."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from groundup.serving.admission import Admission
from groundup.serving.metrics import FIRST_TOKEN, WHOLE_REQUEST
from groundup.serving.upstream import Upstream

__all__ = ["GatewayMetrics"]


class GatewayMetrics:
    """A gateway's metrics, in a registry of its own."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self.registry = registry = CollectorRegistry()
        self.tries = Counter(
            "groundup:upstream_tries",
            "Requests sent to upstreams, by how they ended: ok, refused (4xx), busy (429), late, "
            "failed, broken (within a stream), left (by the client).",
            ("upstream", "outcome"), registry=registry,
        )  # fmt: skip
        self.fallbacks = Counter(
            "groundup:fallbacks", "Requests that another model answered.", ("model_name", "by"),
            registry=registry,
        )  # fmt: skip
        self.time_to_first_token = Histogram(
            "vllm:time_to_first_token_seconds",
            "Seconds from a request's arrival to the first event of its stream.",
            ("model_name",), buckets=FIRST_TOKEN, registry=registry,
        )  # fmt: skip
        self.request_latency = Histogram(
            "vllm:e2e_request_latency_seconds",
            "Seconds from a request's arrival to its answer's end.",
            ("model_name",), buckets=WHOLE_REQUEST, registry=registry,
        )  # fmt: skip
        self._upstreams = upstreams

    def watch(self, admission: Admission) -> None:
        """Report the queue and the upstreams too."""
        self.registry.register(_Figures(self._upstreams, admission))


class _Figures(Collector):
    """What is asked for when Prometheus asks."""

    def __init__(self, upstreams: Sequence[Upstream], admission: Admission) -> None:
        self._upstreams = upstreams
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        for name, text, value in (
            ("vllm:num_requests_running", "Requests under way.", self._admission.running),
            ("vllm:num_requests_waiting", "Requests that wait.", self._admission.waiting),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        up = GaugeMetricFamily("groundup:upstream_up", "1 if it answers.", labels=("upstream",))
        shut = GaugeMetricFamily(
            "groundup:upstream_breaker_open", "1 if it is left alone.", labels=("upstream",)
        )
        load = GaugeMetricFamily(
            "groundup:upstream_outstanding", "Requests not yet answered.", labels=("upstream",)
        )
        for upstream in self._upstreams:
            up.add_metric([upstream.name], upstream.up)
            shut.add_metric([upstream.name], upstream.breaker.state != "closed")
            load.add_metric([upstream.name], upstream.outstanding)
        yield from (up, shut, load)
