"""The OpenAPI document, made from the types that requests are decoded into."""

from collections.abc import Sequence
from typing import Any

import msgspec

from groundup import __version__
from groundup.serving.api_error import ErrorBody
from groundup.serving.routes import ServedRoute

__all__ = ["openapi_document"]

ERRORS = {
    400: "The request is not valid",
    401: "The API key is missing or wrong",
    404: "There is no such model",
    408: "The body did not come in time",
    413: "The body is too long",
    429: "A limit or a budget is reached, or too many requests wait already",
    500: "The server failed",
    503: "The server is starting, shutting down or overloaded",
}
ERRORS_OF_GET = (401, 404, 500, 503)


def openapi_document(routes: Sequence[ServedRoute], *, keys: bool) -> dict[str, Any]:
    """The document of these routes; ``keys``: an API key is needed."""
    types = [kind for r in routes for kind in (r.request, r.response) if kind not in (None, str)]
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorBody], ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip([*types, ErrorBody], schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, by_type, keys)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "groundup",
            "version": __version__,
            "description": "OpenAI's HTTP interface over a model that runs here. "
            "Fields that are not listed are refused.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }
    if keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def operation(route: ServedRoute, by_type: dict[Any, Any], keys: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": by_type.get(route.response)}}
    if route.response is str:
        content = {"text/plain": {"schema": {"type": "string"}}}
    if route.streams:
        content["text/event-stream"] = {}  # OpenAPI 3.1 has no schema for a sequence of events
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": content}}
    for status, description in ERRORS.items():
        if status in ERRORS_OF_GET or route.method == "POST":
            error = {"application/json": {"schema": by_type[ErrorBody]}}
            responses[str(status)] = {"description": description, "content": error}
    if route.probe:
        status_body = {"application/json": {"schema": by_type[route.response]}}
        responses = {
            "200": responses["200"],
            "503": {"description": "Not now", "content": status_body},
        }
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "responses": responses,
    }
    if route.request is not None:
        body = {"application/json": {"schema": by_type[route.request]}}
        described["requestBody"] = {"required": True, "content": body}
    if "{id}" in route.path:
        described["parameters"] = [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    if keys and not route.probe:
        described["security"] = [{"key": []}]
    return described
