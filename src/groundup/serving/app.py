"""The ASGI application: the routes, without anything between them and the server."""

from functools import partial

import msgspec
from starlette.routing import Route, Router
from starlette.types import Scope

from groundup.serving.endpoint import Endpoint, not_found
from groundup.serving.openapi import openapi_document
from groundup.serving.routes import ROUTES
from groundup.serving.service import Service

__all__ = ["create_app"]


def create_app(service: Service) -> Router:
    """The application that serves one engine.

    A router alone: Starlette's stack of middleware would cost each request more than its routing.
    Errors, keys and limits are the endpoints' own work.
    """
    document = msgspec.json.encode(openapi_document(ROUTES, keys=service.callers.keyed))

    async def openapi(_body: bytes, _scope: Scope) -> bytes:
        return document

    routes = [
        Route(
            route.path.replace("{id}", "{id:path}"),
            Endpoint(
                service,
                partial(route.handler, service),
                route.method,
                probe=route.probe,
                kept=route.kept,
            ),
        )
        for route in ROUTES
    ]
    routes.append(Route("/openapi.json", Endpoint(service, openapi, "GET")))
    return Router(routes, redirect_slashes=False, default=not_found(service))
