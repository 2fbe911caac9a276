"""What Prometheus is told of each replica."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from groundup.serving.replicas import Replica, Replicas

__all__ = ["ReplicaMetrics"]

LABELS = ("replica",)


class ReplicaMetrics(Collector):
    """Gauges of each replica, read from it when Prometheus asks."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self) -> Iterable[Metric]:
        def gauge(name: str, text: str, value: Callable[[Replica], float]) -> Metric:
            family = GaugeMetricFamily(f"groundup:replica_{name}", text, labels=LABELS)
            for replica in self._replicas.replicas:
                family.add_metric([replica.name], value(replica))
            return family

        yield gauge("up", "Whether the process answers.", lambda replica: bool(replica.alive))
        yield gauge("outstanding", "Requests that it has not answered yet.", outstanding)
        yield gauge(
            "kv_cache_usage", "Share of the KV blocks in use, 0-1.",
            lambda replica: replica.stats.get("kv_cache_usage", 0.0),
        )  # fmt: skip
        restarts = CounterMetricFamily(
            "groundup:replica_restarts", "Times that it was started again.", labels=LABELS
        )
        for replica in self._replicas.replicas:
            restarts.add_metric([replica.name], replica.restarts)
        yield restarts


def outstanding(replica: Replica) -> int:
    """Requests that the process has not answered yet."""
    return 0 if replica.alive is None else replica.alive.outstanding
