"""One span for each request to a model, by OpenTelemetry's conventions for generative AI.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ names the attributes. Beside them stand the
times of vLLM's spans, under vLLM's names (``gen_ai.latency.*``). Nothing that a user or a model
wrote is recorded, except the name of the model that was asked for.

Off unless OpenTelemetry's own variables say where spans go. What it costs then is one look at
`current_trace` for each request, and OpenTelemetry is not imported.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup import __version__
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from groundup.engine.request import Request  # with it comes torch, which a gateway lacks

__all__ = ["RequestTrace", "Traced", "current_trace", "tracing"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
LONGEST_NAME = 200  # characters of a model's name, which callers choose

# Of the HTTP request that the running task answers; None where it is not traced.
current_trace: ContextVar["RequestTrace | None"] = ContextVar("current_trace", default=None)


@contextmanager
def tracing() -> Iterator["Tracer | None"]:
    """The tracer that OpenTelemetry's environment variables ask for; None if they ask for none.

    Spans are sent in the background, over OTLP/HTTP; those that are left are sent at the end.

    Raises:
        GroundupError: OpenTelemetry is not installed, or another protocol is asked for.
    """
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or not any(os.environ.get(name) for name in ENDPOINTS):
        yield None
        return
    protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise GroundupError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, expected 'http/protobuf': traces are "
            "sent over HTTP, which collectors take on port 4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise GroundupError(
            f"traces need {error.name}, which is not installed: pip install 'groundup[traces]', or "
            "unset OTEL_EXPORTER_OTLP_ENDPOINT"
        ) from None
    resource = Resource.create()  # with the name and attributes that the variables give
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "groundup"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer("groundup.serving", __version__)
    finally:
        provider.shutdown()


class RequestTrace:
    """The span of one HTTP request. The server's parts tell it what happens."""

    def __init__(self, span: "Span", operation: str) -> None:
        self._span = span
        self._operation = operation
        self._arrival = perf_counter()
        self._reasons: dict[int, str] = {}
        self._streams = False
        self._begun = False  # the answer's body
        self._complete = False
        self._failed = False

    def model(self, name: str, *, served: bool) -> None:
        """The request names a model."""
        name = name[:LONGEST_NAME]
        self._span.set_attribute("gen_ai.request.model", name)
        if served:  # what is not would make a new kind of span for each name
            self._span.update_name(f"{self._operation} {name}")
            self._span.set_attribute("gen_ai.response.model", name)

    def asked(self, requests: "Sequence[Request]") -> None:
        """The body was understood: these requests will go to the engine."""
        first, params = requests[0], requests[0].params
        attributes: dict[str, int | float | str | None] = {
            "gen_ai.request.choice.count": len(requests) if len(requests) > 1 else None,
            "gen_ai.request.max_tokens": first.max_tokens,
            "gen_ai.request.temperature": params.temperature,
            "gen_ai.request.top_p": params.top_p,
            "gen_ai.request.top_k": params.top_k or None,
            "gen_ai.request.seed": params.seed,
            "gen_ai.request.frequency_penalty": params.frequency_penalty or None,
            "gen_ai.request.presence_penalty": params.presence_penalty or None,
        }
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)

    def admitted(self, waited: float) -> None:
        """The request's turn has come, after so many seconds."""
        self._span.add_event("admitted")
        self._span.set_attribute("gen_ai.latency.time_in_queue", waited)

    def first_token(self, answer: int, after: float) -> None:
        """The first token of an answer, so many seconds after the request."""
        self._span.add_event("first token", {"choice": answer})
        if not answer:
            self._span.set_attribute("gen_ai.latency.time_to_first_token", after)

    def finished(self, answer: int, reason: str) -> None:
        """An answer has ended."""
        self._reasons[answer] = reason

    def used(self, prompt_tokens: int, generated: int | None = None) -> None:
        """What it took: tokens of its prompts, and of its answers where it has such."""
        self._span.set_attribute("gen_ai.usage.input_tokens", prompt_tokens)
        if generated is not None:
            self._span.set_attribute("gen_ai.usage.output_tokens", generated)

    def failed(self, error_type: str, message: str = "") -> None:
        """It failed, or was refused; a status of HTTP, or a name for what has none."""
        from opentelemetry.trace import StatusCode

        self._failed = True
        self._span.set_attribute("error.type", error_type)
        # By the conventions for HTTP servers, a mistake of the caller is none of the server.
        if not error_type.startswith("4"):
            self._span.set_status(StatusCode.ERROR, message)

    def headers(self) -> dict[str, str]:
        """What tells another server that its work is part of this."""
        from opentelemetry.propagate import inject
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        inject(carrier, set_span_in_context(self._span))
        return carrier

    def sent(self, message: Message) -> None:
        """A message of ASGI went to the client."""
        if message["type"] == "http.response.start":
            self._span.set_attribute("http.response.status_code", message["status"])
            headers = dict(message["headers"])
            self._streams = headers[b"content-type"].startswith(b"text/event-stream")
            if (outcome := headers.get(b"x-groundup-cache")) is not None:
                self._span.set_attribute("groundup.answer_cache", outcome.decode())
            if self._streams:
                self._span.set_attribute("gen_ai.request.stream", True)
        elif message["type"] == "http.response.body":
            if self._streams and not self._begun:
                after = perf_counter() - self._arrival
                self._span.set_attribute("gen_ai.response.time_to_first_chunk", after)
            self._begun = True
            self._complete = not message.get("more_body", False)

    def end(self) -> None:
        """All is sent that will be."""
        from opentelemetry.trace import INVALID_SPAN

        if not self._complete and not self._failed:
            self.failed("client_disconnected", "the client left before its answer was complete")
        if self._reasons:
            reasons = [reason for _, reason in sorted(self._reasons.items())]
            self._span.set_attribute("gen_ai.response.finish_reasons", reasons)
        self._span.set_attribute("gen_ai.latency.e2e", perf_counter() - self._arrival)
        self._span.end()
        self._span = INVALID_SPAN  # what others still wait for may go on without this request


class Traced:
    """An ASGI application whose every request has a span, a child of the caller's if it has one."""

    def __init__(self, app: ASGIApp, route: str, operation: str, tracer: "Tracer") -> None:
        """``operation``: the conventions' name for it, such as ``chat``."""
        self._app = app
        self._route = route
        self._operation = operation
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        span = self._tracer.start_span(
            self._operation,
            extract(headers),
            SpanKind.SERVER,
            {
                "gen_ai.operation.name": self._operation,
                "gen_ai.provider.name": "groundup",
                "http.request.method": scope["method"],
                "http.route": self._route,
            },
        )
        trace = RequestTrace(span, self._operation)
        token = current_trace.set(trace)

        async def watched(message: Message) -> None:
            await send(message)
            trace.sent(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            current_trace.reset(token)
            trace.end()
