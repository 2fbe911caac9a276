"""The gateway's routes."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Scope

from groundup.serving.answer_cache import Answer
from groundup.serving.api_error import ApiError
from groundup.serving.endpoint import Endpoint, Handler, not_found
from groundup.serving.gateway import Gateway
from groundup.serving.probes import Status, health, metrics
from groundup.serving.reply import Reply
from groundup.serving.traces import Traced

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["create_gateway_app"]

# With OpenTelemetry's names for what a model does there.
FORWARDED = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/responses": "chat",
    "/embeddings": "embeddings",
}


def create_gateway_app(gateway: Gateway, tracer: "Tracer | None" = None) -> Router:
    """The application of a gateway. ``tracer`` as of `create_app`."""

    async def forward(path: str, body: bytes, _scope: Scope) -> Answer:
        return await gateway.forward(path, body)

    def model(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": gateway.started, "owned_by": "groundup"}

    async def list_models(_body: bytes, _scope: Scope) -> bytes:
        models = [model(name) for name in gateway.models()]
        return msgspec.json.encode({"object": "list", "data": models})

    async def show_model(_body: bytes, scope: Scope) -> bytes:
        name = scope["path_params"]["id"]
        if name not in gateway.models():
            raise ApiError(
                404,
                f"the model {name!r} is not served here, expected one of {gateway.models()}",
                param="model",
                code="model_not_found",
            )
        return msgspec.json.encode(model(name))

    async def ready(_body: bytes, _scope: Scope) -> Reply:
        if gateway.serves():
            return Reply(msgspec.json.encode(Status("ready")))
        return Reply(msgspec.json.encode(Status("not ready")), status=503)

    def of_intake(handler: Callable[[Gateway, bytes, Scope], Awaitable[Answer]]) -> Handler:
        return partial(handler, gateway)

    routes = []
    for path, operation in FORWARDED.items():
        endpoint: ASGIApp = Endpoint(gateway, partial(forward, path), "POST", kept=True)
        if tracer is not None:
            endpoint = Traced(endpoint, f"/v1{path}", operation, tracer)
        routes.append(Route(f"/v1{path}", endpoint))
    routes += [
        Route("/v1/models", Endpoint(gateway, list_models, "GET")),
        Route("/v1/models/{id:path}", Endpoint(gateway, show_model, "GET")),
        Route("/health", Endpoint(gateway, of_intake(health), "GET", probe=True)),
        Route("/ready", Endpoint(gateway, ready, "GET", probe=True)),
        Route("/metrics", Endpoint(gateway, of_intake(metrics), "GET")),
    ]
    return Router(routes, redirect_slashes=False, default=not_found(gateway))
