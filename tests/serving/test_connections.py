"""Clients that leave, queues that are full, servers that end, keys, and what is counted."""

import json
import socket
import threading
import time
from contextlib import closing, suppress
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from groundup.serving.callers import Callers
from groundup.serving.intake import IntakeSettings
from groundup.serving.server import ServerSettings

CHAT = "/v1/chat/completions"
GOOD: Any = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}


def values(running: Any) -> dict[str, float]:
    text = httpx.get(f"{running.url}/metrics").text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "model_name"}
            found[sample.name + "".join(f" {v}" for v in labels.values())] = sample.value
    return found


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"n": 3}, {"n": 3, "stream": True}])
@pytest.mark.parametrize("hang_after", [0, 4])
def test_a_client_that_leaves(
    running: Any, engine: Any, wait_until: Any, fields: dict[str, Any], hang_after: int
) -> None:
    engine.hang_after = hang_after
    answers = fields.get("n", 1)
    aborted = values(running)["vllm:request_success_total abort"]
    body = json.dumps(GOOD | fields).encode()
    with closing(socket.create_connection(("127.0.0.1", running.port))) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        wait_until(lambda: len(engine.requests) == answers and engine.open == answers)
    left = time.monotonic()
    wait_until(lambda: engine.open == 0)
    assert time.monotonic() - left < 5
    assert engine.closed == answers
    wait_until(lambda: not running.service.in_flight)
    assert running.service.admission.running == 0
    assert values(running)["vllm:request_success_total abort"] == aborted + answers


def test_a_client_that_leaves_the_queue(run_server: Any, new_engine: Any, wait_until: Any) -> None:
    engine = new_engine()
    engine.hang_after = 0
    with run_server(engine, IntakeSettings(places=1)) as running:
        admission = running.service.admission
        for expected in ((1, 0), (1, 1)):
            client = socket.create_connection(("127.0.0.1", running.port))
            body = json.dumps(GOOD).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            wait_until(lambda e=expected: (admission.running, admission.waiting) == e)
            if expected[1]:
                client.close()
                wait_until(lambda: admission.waiting == 0)
            else:
                first = client
        first.close()
        wait_until(lambda: admission.running == 0)
        assert len(engine.requests) == 1


def test_a_full_queue_and_a_deadline(run_server: Any, new_engine: Any, wait_until: Any) -> None:
    engine = new_engine()
    engine.hang_after = 0
    settings = IntakeSettings(places=1, waiting_limit=1, queue_deadline=1.0)
    answers: list[httpx.Response] = []
    with run_server(engine, settings) as running, httpx.Client(base_url=running.url) as client:

        def post() -> None:
            with suppress(httpx.HTTPError):  # the server ends first
                answers.append(client.post(CHAT, json=GOOD, timeout=20))

        threads = [threading.Thread(target=post) for _ in range(2)]
        admission = running.service.admission
        for waiting, thread in enumerate(threads):
            thread.start()
            wait_until(lambda w=waiting: (admission.running, admission.waiting) == (1, w))
        metrics = values(running)
        assert metrics["vllm:num_requests_running"] == 1
        assert metrics["vllm:num_requests_waiting"] == 1
        refused = client.post(CHAT, json=GOOD)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        threads[1].join()
        [late] = answers
        assert late.status_code == 503
        assert int(late.headers["retry-after"]) >= 1
        assert late.json()["error"]["code"] == "queue_timeout"
    threads[0].join()


def test_a_drain_finishes_what_was_begun(run_server: Any, new_engine: Any) -> None:
    engine = new_engine()
    engine.delay = 0.05
    settings = ServerSettings(drain_deadline=20)
    with (
        run_server(engine, server_settings=settings) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):
        chunks = client.chat.completions.create(**GOOD, stream=True)
        text = next(iter(chunks)).choices[0].delta.content or ""
        assert httpx.get(f"{running.url}/ready").status_code == 200
        running.server.handle_exit(15, None)
        # New requests are refused, while the old one goes on.
        assert httpx.get(f"{running.url}/ready").status_code == 503
        assert httpx.get(f"{running.url}/health").status_code == 200
        refused = httpx.post(f"{running.url}{CHAT}", json=GOOD)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        for chunk in chunks:
            text += chunk.choices[0].delta.content or ""
        assert text == "Hello, world!"
    assert (engine.open, engine.closed) == (0, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_drain_that_takes_too_long_is_told(
    run_server: Any, new_engine: Any, wait_until: Any, stream: bool
) -> None:
    engine = new_engine()
    engine.hang_after = 5
    settings = ServerSettings(drain_deadline=0.3)
    got: list[httpx.Response] = []
    with run_server(engine, server_settings=settings) as running:

        def post() -> None:
            got.append(
                httpx.post(f"{running.url}{CHAT}", json=GOOD | {"stream": stream}, timeout=20)
            )

        thread = threading.Thread(target=post)
        thread.start()
        wait_until(lambda: engine.open == 1)
        running.server.handle_exit(15, None)
        thread.join(20)
    assert (engine.open, engine.closed) == (0, 1)
    [answer] = got
    if stream:
        last = answer.text.strip().rpartition("\n\n")[2]
        assert "shutting down" in json.loads(last.removeprefix("data: "))["error"]["message"]
        assert '"content":"H"' in answer.text
        assert "[DONE]" not in answer.text
    else:
        assert answer.status_code == 503
        assert "shutting down" in answer.json()["error"]["message"]


def test_keys(run_server: Any, new_engine: Any) -> None:
    with (
        run_server(new_engine(), callers=Callers(["secret", "other"])) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer secret x"},
            {"authorization": "secret"},
            {"authorization": b"Bearer \xff"},
        ):
            for path in ("/v1/models", "/metrics", "/openapi.json"):
                answer = client.get(path, headers=headers)  # type: ignore[arg-type]
                assert answer.status_code == 401
                assert answer.json()["error"]["code"] == "invalid_api_key"
            assert client.post(CHAT, json=GOOD, headers=headers).status_code == 401  # type: ignore[arg-type]
        for probe in ("/health", "/ready"):
            assert client.get(probe).status_code == 200
        key = {"authorization": "bearer secret"}
        assert client.post(CHAT, json=GOOD, headers=key).status_code == 200
        assert not running.engine.requests[1:]
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="no").models.list()


def test_what_is_counted(run_server: Any, new_engine: Any) -> None:
    engine = new_engine()
    engine.delay = 0.02
    with (
        run_server(engine) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        first = client.post(CHAT, json=GOOD).json()["usage"]
        client.post(CHAT, json=GOOD | {"max_tokens": 3})
        client.post(CHAT, json=GOOD | {"n": 0})
        client.post(CHAT, content=b"{")
        client.get("/nothing")
        engine.failure, engine.failure_after = RuntimeError("planted"), 2
        client.post(CHAT, json=GOOD | {"stream": True})
        engine.figures = {
            "running": 7, "waiting": 3, "kv_cache_usage": 0.25,
            "prefix_cache_queries": 90, "prefix_cache_hits": 60, "preemptions": 2,
            "drafts": 30, "drafted_tokens": 100, "accepted_tokens": 40,
        }  # fmt: skip
        got = values(running)
    prompt = first["prompt_tokens"]
    assert got["vllm:prompt_tokens_total"] == 3 * prompt
    assert got["vllm:generation_tokens_total"] == first["completion_tokens"] + 3 + 2
    assert got["vllm:request_success_total stop"] == 1
    assert got["vllm:request_success_total length"] == 1
    assert got["vllm:request_success_total abort"] == 0
    assert got["vllm:time_to_first_token_seconds_count"] == 3
    assert got["vllm:inter_token_latency_seconds_count"] == 13 + 2 + 1
    # Each of them waited for at least the engine's delay.
    assert got["vllm:inter_token_latency_seconds_sum"] >= 16 * 0.02 * 0.9
    assert got["vllm:request_time_per_output_token_seconds_count"] == 2
    assert got["vllm:e2e_request_latency_seconds_count"] == 2
    assert got["vllm:e2e_request_latency_seconds_sum"] >= 15 * 0.02 * 0.9
    assert got["vllm:request_queue_time_seconds_count"] == 3
    assert got["vllm:request_prefill_time_seconds_count"] == 3
    assert got["vllm:time_to_first_token_seconds_sum"] == pytest.approx(
        got["vllm:request_queue_time_seconds_sum"] + got["vllm:request_prefill_time_seconds_sum"]
    )
    assert got["vllm:request_decode_time_seconds_count"] == 2
    decode_time = got["vllm:request_decode_time_seconds_sum"]
    assert 15 * 0.02 * 0.9 <= decode_time < got["vllm:inter_token_latency_seconds_sum"]
    assert got["vllm:request_prompt_tokens_count"] == 2
    assert got["vllm:request_prompt_tokens_sum"] == 2 * prompt
    assert got["vllm:request_generation_tokens_count"] == 2
    assert got["vllm:request_generation_tokens_sum"] == first["completion_tokens"] + 3
    assert got["groundup:request_errors_total 400"] == 2
    assert got["groundup:request_errors_total 404"] == 1
    assert got["groundup:request_errors_total 500"] == 1
    assert got["vllm:num_requests_running"] == 7
    assert got["vllm:num_requests_waiting"] == 3
    assert got["vllm:kv_cache_usage_perc"] == 0.25
    assert got["vllm:prefix_cache_queries_total"] == 90
    assert got["vllm:prefix_cache_hits_total"] == 60
    assert got["vllm:num_preemptions_total"] == 2
    assert got["vllm:spec_decode_num_drafts_total"] == 30
    assert got["vllm:spec_decode_num_draft_tokens_total"] == 100
    assert got["vllm:spec_decode_num_accepted_tokens_total"] == 40


def test_a_connection_is_used_again(running: Any) -> None:
    with closing(socket.create_connection(("127.0.0.1", running.port))) as client:
        client.settimeout(20)
        body = json.dumps(GOOD | {"max_tokens": 1}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        for requests in (1, 3):  # one after the other, and sent without waiting
            client.sendall((head + body) * requests)
            said = b""
            while said.count(b'"usage"') < requests:
                received = client.recv(65_536)
                assert received, "the server closed the connection"
                said += received
            assert said.count(b"HTTP/1.1 200") == requests
