"""Spans: one for each request to a model, with what the conventions ask for, and nobody's words."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from groundup.errors import GroundupError
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.gateway import Gateway
from groundup.serving.gateway_app import create_gateway_app
from groundup.serving.gateway_config import config_of_urls
from groundup.serving.intake import IntakeSettings
from groundup.serving.response_cache import ResponseCache
from groundup.serving.traces import tracing

CHAT = "/v1/chat/completions"
GOOD: Any = {"model": "scripted", "messages": [{"role": "user", "content": "my secret"}]}


class Server:
    """A server over a scripted engine, whose spans stay in memory."""

    def __init__(self, running: Any, exporter: InMemorySpanExporter, wait_until: Any) -> None:
        self.running, self.engine, self.url = running, running.engine, running.url
        self._exporter, self._wait_until = exporter, wait_until

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(self.url + path, content=content, headers=headers)

    def span(self) -> ReadableSpan:
        """The span of the only request since the last call."""
        self._wait_until(lambda: self._exporter.get_finished_spans())
        (span,) = self._exporter.get_finished_spans()
        self._exporter.clear()
        return span


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def traced(
    exporter: InMemorySpanExporter, module_server: Any, scripted_engine_class: Any
) -> Iterator[Any]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = IntakeSettings(places=3, waiting_limit=0)
    tracer = provider.get_tracer("tests")
    with module_server(scripted_engine_class(), settings, tracer=tracer) as running:
        yield running


@pytest.fixture
def server(traced: Any, exporter: InMemorySpanExporter, wait_until: Any) -> Server:
    wait_until(lambda: not traced.service.in_flight)
    exporter.clear()
    traced.engine.reset()
    return Server(traced, exporter, wait_until)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_chat(server: Server) -> None:
    fields = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 50, "stop": ["a secret"]}
    usage = server.post(CHAT, GOOD | fields).json()["usage"]
    span = server.span()
    assert (span.name, span.kind) == ("chat scripted", SpanKind.SERVER)
    found = attributes(span)
    queue = found.pop("gen_ai.latency.time_in_queue")
    first = found.pop("gen_ai.latency.time_to_first_token")
    assert 0 <= queue <= first <= found.pop("gen_ai.latency.e2e")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groundup",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.seed": 7,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    assert [event.name for event in span.events] == ["admitted", "first token"]
    assert span.start_time is not None
    assert span.end_time is not None
    times = [span.start_time, *(event.timestamp for event in span.events), span.end_time]
    assert times == sorted(times)


def test_the_names_are_the_conventions(server: Server) -> None:
    """Those that are not OpenTelemetry's are vLLM's."""
    known = {v for k, v in vars(gen_ai_attributes).items() if k.startswith("GEN_AI_")}
    more = {"top_k": 5, "seed": 1, "presence_penalty": 0.5, "frequency_penalty": 0.5, "n": 2}
    server.post(CHAT, GOOD | more | {"stream": True})
    names = {name for name in attributes(server.span()) if name.startswith("gen_ai.")}
    assert len(names) > 15
    assert names - known == {
        "gen_ai.latency.time_in_queue",
        "gen_ai.latency.time_to_first_token",
        "gen_ai.latency.e2e",
    }


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        (CHAT, GOOD | {"stream": True}, "chat"),
        ("/v1/responses", {"model": "scripted", "input": "hi", "stream": True}, "chat"),
        (
            "/v1/completions",
            {"model": "scripted", "prompt": "x", "stream": True},
            "text_completion",
        ),
    ],
)
def test_streams(server: Server, path: str, body: Any, operation: str) -> None:
    server.engine.delay = 0.002
    assert server.post(path, body).status_code == 200
    span = server.span()
    assert span.name == f"{operation} scripted"
    found = attributes(span)
    assert found["gen_ai.operation.name"] == operation
    assert found["gen_ai.request.stream"] is True
    assert found["http.route"] == path
    assert found["gen_ai.usage.output_tokens"] == len(server.engine.text) + 1  # its end
    first = found["gen_ai.response.time_to_first_chunk"]
    assert found["gen_ai.latency.time_to_first_token"] <= first
    assert found["gen_ai.latency.e2e"] - first > 0.02  # of the 0.026 that the engine sleeps


def test_several_answers(server: Server) -> None:
    server.engine.texts = ["abc", "much longer"]
    prompts = {"model": "scripted", "prompt": ["ab", "cde"], "max_tokens": 5, "n": 1}
    usage = server.post("/v1/completions", prompts).json()["usage"]
    found = attributes(server.span())
    assert found["gen_ai.request.choice.count"] == 2
    assert found["gen_ai.response.finish_reasons"] == ("stop", "length")
    assert found["gen_ai.usage.input_tokens"] == usage["prompt_tokens"] == 5
    assert found["gen_ai.usage.output_tokens"] == usage["completion_tokens"] == 9

    usage = server.post(CHAT, GOOD | {"n": 3}).json()["usage"]
    span = server.span()
    assert attributes(span)["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    firsts = [dict(e.attributes or {}) for e in span.events if e.name == "first token"]
    assert len(firsts) == 3
    assert {first["choice"] for first in firsts} == {0, 1, 2}


def test_embeddings(server: Server) -> None:
    body = {"model": "scripted", "input": ["ab", "cde"]}
    usage = server.post("/v1/embeddings", body).json()["usage"]
    span = server.span()
    assert span.name == "embeddings scripted"
    assert attributes(span)["gen_ai.usage.input_tokens"] == usage["prompt_tokens"] == 5
    assert "gen_ai.usage.output_tokens" not in attributes(span)


def test_a_kept_answer(
    server: Server, exporter: InMemorySpanExporter, module_server: Any, scripted_engine_class: Any
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    cache = AnswerCache(ResponseCache(max_bytes=10_000, ttl=60))
    with module_server(scripted_engine_class(), cache=cache, tracer=tracer) as running:
        kept = Server(running, exporter, server._wait_until)
        body = GOOD | {"temperature": 0}
        outcomes = []
        for _ in range(2):
            assert kept.post(CHAT, body).status_code == 200
            found = attributes(kept.span())
            outcomes.append((found["groundup.answer_cache"], "gen_ai.usage.input_tokens" in found))
    assert outcomes == [("miss", True), ("hit", False)]


def test_what_is_not_for_the_model_has_no_span(
    server: Server, exporter: InMemorySpanExporter
) -> None:
    for path in ("/health", "/metrics", "/v1/models"):
        assert httpx.get(server.url + path).status_code == 200
    assert server.post("/tokenize", {"model": "scripted", "prompt": "x"}).status_code == 200
    assert not exporter.get_finished_spans()


@pytest.mark.parametrize(
    ("body", "status", "model"),
    [
        (b'{"model": "scripted", "messages": [{"role": "my secret"', 400, None),
        (GOOD | {"temperature": -1}, 400, None),
        (GOOD | {"model": "gpt-9" + 1000 * "x"}, 404, ("gpt-9" + 1000 * "x")[:200]),
        (GOOD | {"n": 2, "max_tokens": 1_000_000}, 400, "scripted"),
    ],
)
def test_mistakes_of_the_caller(server: Server, body: Any, status: int, model: str | None) -> None:
    assert server.post(CHAT, body).status_code == status
    span = server.span()
    assert span.name == ("chat scripted" if model == "scripted" else "chat")
    found = attributes(span)
    assert found["error.type"] == str(status)
    assert found["http.response.status_code"] == status
    assert found.get("gen_ai.request.model") == model
    assert span.status.status_code is StatusCode.UNSET  # by the conventions of HTTP servers


@pytest.mark.parametrize(("fields", "shown"), [({}, 500), ({"stream": True}, 200)])
def test_a_failure(server: Server, fields: dict[str, Any], shown: int) -> None:
    server.engine.failure, server.engine.failure_after = RuntimeError("a secret"), 3
    server.post(CHAT, GOOD | fields)
    span = server.span()
    found = attributes(span)
    assert found["error.type"] == "500"
    assert found["http.response.status_code"] == shown
    assert found["gen_ai.usage.output_tokens"] == 3
    assert "gen_ai.response.finish_reasons" not in found
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"n": 3, "stream": True}])
@pytest.mark.parametrize("hang_after", [0, 4])
def test_a_client_that_leaves(
    server: Server, wait_until: Any, fields: dict[str, Any], hang_after: int
) -> None:
    server.engine.hang_after = hang_after
    body = json.dumps(GOOD | fields).encode()
    with closing(socket.create_connection(("127.0.0.1", server.running.port))) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        wait_until(lambda: server.engine.open == fields.get("n", 1))
    span = server.span()
    assert attributes(span)["error.type"] == "client_disconnected"
    assert attributes(span)["gen_ai.request.model"] == "scripted"
    assert span.status.status_code is StatusCode.ERROR


def test_a_full_queue(server: Server) -> None:
    server.engine.hang_after = 0
    with closing(socket.create_connection(("127.0.0.1", server.running.port))) as client:
        body = json.dumps(GOOD | {"n": 3}).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        server._wait_until(lambda: server.engine.open == 3)
        assert server.post(CHAT, GOOD).status_code == 429
        found = attributes(server.span())
    assert found["error.type"] == "429"
    assert "gen_ai.latency.time_in_queue" not in found
    server.span()


def test_the_callers_trace_goes_on(server: Server) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    server.post(CHAT, GOOD, traceparent=f"00-{trace}-{parent}-01")
    span = server.span()
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == trace
    assert f"{span.parent.span_id:016x}" == parent

    server.post(CHAT, GOOD, traceparent="00-nonsense")
    assert server.span().parent is None


def test_a_gateways_span_is_the_parent_of_the_servers(
    server: Server, exporter: InMemorySpanExporter, run_app: Any
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    gateway = Gateway(config_of_urls([f"{server.url}/v1"], cache=False))
    app = create_gateway_app(gateway, provider.get_tracer("gateway"))
    with run_app(app, gateway) as (_, port):
        answer = httpx.post(f"http://127.0.0.1:{port}{CHAT}", json=GOOD | {"stream": True})
    assert answer.status_code == 200
    inner, outer = exporter.get_finished_spans()  # in the order in which they ended
    assert inner.name == outer.name == "chat scripted"
    assert inner.parent is not None
    assert outer.parent is None
    assert inner.context.trace_id == outer.context.trace_id
    assert inner.parent.span_id == outer.context.span_id
    assert "gen_ai.usage.output_tokens" in attributes(inner)


@pytest.mark.parametrize("failure", [None, "failure", "refusal"])
def test_nobodys_words_are_recorded(server: Server, failure: str | None) -> None:
    server.engine.text = "the model's secret"
    if failure:
        setattr(server.engine, failure, GroundupError("my secret"))
    tool = {"type": "function", "function": {"name": "secret", "parameters": {"type": "object"}}}
    server.post(CHAT, GOOD | {"stop": ["secret!"], "user": "secret", "tools": [tool]})
    assert "secret" not in server.span().to_json()


def test_without_an_endpoint_nothing_is_imported() -> None:
    code = (
        "import sys, groundup.serving.app\n"
        "from groundup.serving.traces import tracing\n"
        "with tracing() as tracer: assert tracer is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class Collector(BaseHTTPRequestHandler):
    """Takes spans over OTLP/HTTP, as OpenTelemetry's collector does."""

    received: list[tuple[str, ExportTraceServiceRequest]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("name", ["", "my-server"])
def test_spans_are_sent(
    name: str, monkeypatch: pytest.MonkeyPatch, module_server: Any, scripted_engine_class: Any
) -> None:
    Collector.received = []
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}"
        )
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        try:
            with (
                tracing() as tracer,
                module_server(scripted_engine_class(), tracer=tracer) as running,
            ):
                assert httpx.post(running.url + CHAT, json=GOOD).status_code == 200
        finally:
            collector.shutdown()
            thread.join()
    ((path, request),) = Collector.received
    assert path == "/v1/traces"
    (sent,) = request.resource_spans
    resource = {pair.key: pair.value.string_value for pair in sent.resource.attributes}
    assert resource["service.name"] == (name or "groundup")
    assert [span.name for span in sent.scope_spans[0].spans] == ["chat scripted"]


def test_what_is_asked_for_and_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
        with pytest.raises(GroundupError, match=r"groundup\[traces\]"), tracing():
            pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(GroundupError, match="expected 'http/protobuf'"), tracing():
        pass
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with tracing() as tracer:
        assert tracer is None
