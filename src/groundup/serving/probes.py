"""GET /health, /ready and /metrics: for those who run the server."""

from typing import Literal

import msgspec
from msgspec import Struct
from prometheus_client import generate_latest
from starlette.types import Scope

from groundup.serving.intake import Intake
from groundup.serving.reply import Reply

__all__ = ["Status", "health", "metrics", "ready"]


class Status(Struct):
    status: Literal["ok", "ready", "not ready"]


async def health(_intake: Intake, _body: bytes, _scope: Scope) -> bytes:
    """The process answers."""
    return msgspec.json.encode(Status("ok"))


async def ready(intake: Intake, _body: bytes, _scope: Scope) -> Reply:
    """Requests are taken: a model is there, and the server is not shutting down."""
    if intake.ready():
        return Reply(msgspec.json.encode(Status("ready")))
    return Reply(msgspec.json.encode(Status("not ready")), status=503)


async def metrics(intake: Intake, _body: bytes, _scope: Scope) -> Reply:
    """Figures in Prometheus' text format."""
    return Reply(generate_latest(intake.registry), b"text/plain; version=1.0.0; charset=utf-8")
