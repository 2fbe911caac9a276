"""The ASGI application: the routes, without anything between them and the server."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Scope

from groundup.serving.answer_cache import Answer
from groundup.serving.endpoint import Endpoint, not_found
from groundup.serving.engine_process import EngineLostError
from groundup.serving.openapi import openapi_document
from groundup.serving.routes import ROUTES
from groundup.serving.service import Service
from groundup.serving.traces import Traced

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["create_app"]


def create_app(service: Service, tracer: "Tracer | None" = None) -> Router:
    """The application that serves one engine.

    ``tracer`` makes a span of each request to its model; see `traces.tracing`.

    A router alone: Starlette's stack of middleware would cost each request more than its routing.
    Errors, keys and limits are the endpoints' own work.
    """
    document = msgspec.json.encode(openapi_document(ROUTES, keys=service.callers.keyed))

    async def openapi(_body: bytes, _scope: Scope) -> bytes:
        return document

    routes = []
    for route in ROUTES:
        handler = partial(asked, route.handler, service)
        endpoint: ASGIApp = Endpoint(
            service, handler, route.method, probe=route.probe, kept=route.kept
        )
        if tracer is not None and route.operation is not None:
            endpoint = Traced(endpoint, route.path, route.operation, tracer)
        routes.append(Route(route.path.replace("{id}", "{id:path}"), endpoint))
    routes.append(Route("/openapi.json", Endpoint(service, openapi, "GET")))
    return Router(routes, redirect_slashes=False, default=not_found(service))


async def asked(
    handler: Callable[[Service, bytes, Scope], Awaitable[Answer]],
    service: Service,
    body: bytes,
    scope: Scope,
) -> Answer:
    """A handler's answer. It is asked again if it lost its engine before it had one to show."""
    try:
        return await handler(service, body, scope)
    except EngineLostError as lost:
        if lost.repeated:
            raise
        return await handler(service, body, scope)
