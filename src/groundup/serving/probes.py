"""GET /health, /ready and /metrics: for those who run the server."""

from typing import Literal

import msgspec
from msgspec import Struct
from starlette.types import Scope

from groundup.serving.endpoint import Reply
from groundup.serving.service import Service

__all__ = ["Status", "health", "metrics", "ready"]


class Status(Struct):
    status: Literal["ok", "ready", "not ready"]


async def health(_service: Service, _body: bytes, _scope: Scope) -> bytes:
    """The process answers."""
    return msgspec.json.encode(Status("ok"))


async def ready(service: Service, _body: bytes, _scope: Scope) -> Reply:
    """Requests are taken: the model is loaded, and the server is not shutting down."""
    if service.ready():
        return Reply(msgspec.json.encode(Status("ready")))
    return Reply(msgspec.json.encode(Status("not ready")), status=503)


async def metrics(service: Service, _body: bytes, _scope: Scope) -> Reply:
    """Figures in Prometheus' text format."""
    return Reply(service.metrics.text(), b"text/plain; version=1.0.0; charset=utf-8")
