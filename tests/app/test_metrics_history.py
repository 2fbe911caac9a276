"""Figures of a server: from Prometheus's text to what is shown, and gaps, restarts, an hour."""

import asyncio
import math
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import generate_latest

from groundup.app import metrics_history
from groundup.app.metrics_history import (
    INTERVAL,
    KEPT,
    MetricsHistory,
    Sample,
    figures,
    parse_sample,
)
from groundup.app.model_server import Endpoint
from groundup.serving.metrics import Metrics


def scrape(metrics: Metrics, at: float) -> Sample:
    return parse_sample(generate_latest(metrics.registry).decode(), at)


def test_figures_of_the_servers_own_metrics() -> None:
    stats: Any = {
        "running": 2, "waiting": 3, "kv_cache_usage": 0.25, "prefix_cache_queries": 100,
        "prefix_cache_hits": 10,
    }  # fmt: skip
    metrics = Metrics("m", lambda: stats)
    metrics.time_to_first_token.observe(30.0)  # long ago: it counts no more
    samples = [scrape(metrics, 100.0)]
    for _ in range(10):
        metrics.request_success["stop"].inc()
    metrics.request_success["length"].inc(2)
    metrics.generation_tokens.inc(60)
    for seconds in (0.05, 0.055, 0.055, 0.3):
        metrics.time_to_first_token.observe(seconds)
    stats |= {"prefix_cache_queries": 300, "prefix_cache_hits": 60, "waiting": 1}
    samples.append(scrape(metrics, 104.0))
    found = figures(samples)
    assert found.requests == pytest.approx(12 / 4)
    assert found.tokens == pytest.approx(60 / 4)
    assert found.errors == 0.0
    assert (found.running, found.waiting, found.kv_use) == (2, 1, 0.25)
    assert found.hit_share == pytest.approx(50 / 200)
    assert found.first_token is not None
    # Buckets: 3 up to 60 ms (above 40), 1 up to 500 ms (above 250).
    median, high = found.first_token
    assert median == pytest.approx(0.04 + 0.02 * 2 / 3)
    assert high == pytest.approx(0.25 + 0.25 * 0.8)
    assert found.between_tokens is None  # nothing was observed


def test_nothing_yet() -> None:
    metrics = Metrics("m", lambda: {})
    alone = figures([scrape(metrics, 1.0)])
    assert (alone.requests, alone.first_token, alone.kv_use, alone.hit_share) == (None,) * 4
    still = figures([scrape(metrics, 1.0), scrape(metrics, 3.0)])
    assert (still.requests, still.tokens, still.hit_share) == (0.0, 0.0, None)
    assert MetricsHistory(dict).figures("unknown") == []


def test_rates_are_of_the_last_half_minute() -> None:
    samples = [
        Sample(float(t), {"requests": 0.0 if t < 50 else 30.0}, {}) for t in range(0, 102, 2)
    ]
    assert figures(samples).requests == 0.0
    assert figures(samples[:26]).requests == pytest.approx(30 / 30)


def test_errors_are_of_all_kinds() -> None:
    text = (
        "# TYPE groundup:request_errors counter\n"
        'groundup:request_errors_total{status="400"} 3\n'
        'groundup:request_errors_total{status="503"} 4\n'
    )
    first = Sample(0.0, {"errors": 1.0}, {})
    assert figures([first, parse_sample(text, 2.0)]).errors == pytest.approx(3.0)


def test_an_hour_is_kept_and_a_restart_begins_anew() -> None:
    history = MetricsHistory(dict)
    for i in range(KEPT + 100):
        history.take("m", Sample(INTERVAL * i, {"requests": float(i)}, {}))
    points = history.figures("m")
    assert len(points) <= 300
    assert points[-1].at == INTERVAL * (KEPT + 99)
    assert points[-1].at - points[0].at == pytest.approx(3600, abs=INTERVAL * 8)
    assert {round(point.requests or 0, 6) for point in points[10:]} == {1 / INTERVAL}
    history.take("m", Sample(INTERVAL * (KEPT + 100), {"requests": 3.0}, {}))
    before, after = list(history.points["m"])[-2:]
    assert before.requests == pytest.approx(1 / INTERVAL)
    assert after.requests == pytest.approx(3 / INTERVAL)


def test_what_was_done_before_the_first_sample_counts() -> None:
    """A question may have waited for the model: its answer is there when figures are first read."""
    history = MetricsHistory(dict)
    history.take("m", Sample(100.0, {"requests": 2.0}, {"first_token": {0.1: 2.0, math.inf: 2.0}}))
    (point,) = history.points["m"]
    assert point.requests == pytest.approx(2 / INTERVAL)
    assert point.first_token == pytest.approx((0.05, 0.095))  # between the bounds
    history.take("m", Sample(102.0, {"requests": 2.0}, {}))
    assert history.points["m"][-1].requests == pytest.approx(2 / (2 * INTERVAL))


async def test_it_asks_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its key; one that refuses, breaks or says nothing of use leaves a gap."""
    monkeypatch.setattr(metrics_history, "INTERVAL", 0.02)
    said, keys = "", []
    asked = asyncio.Event()

    async def tell(request: web.Request) -> web.Response:
        keys.append(request.headers.get("authorization"))
        if said == "refuse":
            return web.Response(status=401)
        asked.set()
        return web.Response(text=said)

    server = web.Application()
    server.router.add_get("/metrics", tell)
    runner = web.AppRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    history = MetricsHistory(
        lambda: {"m": Endpoint(base_url, "m", "k"), "gone": Endpoint("http://127.0.0.1:1/v1", "")}
    )
    history.start()
    async with asyncio.timeout(30):
        for said in ("refuse", "no { metrics", "vllm:num_requests_running 5\n"):
            asked.clear()
            if said != "refuse":
                await asked.wait()
            await asyncio.sleep(0.1)
    await history.close()
    await runner.cleanup()
    assert set(keys) == {"Bearer k"}
    assert {point.running for point in history.points["m"]} == {5.0}
    assert "gone" not in history.points
