"""GET /inside: the engines' last steps and their caches' blocks. Numbers only, no texts."""

import asyncio

import msgspec
from msgspec import Struct
from starlette.types import Scope

from groundup.engine.step_log import EngineView
from groundup.serving.api_error import ApiError
from groundup.serving.engine_interface import ShowsInside
from groundup.serving.service import Service

__all__ = ["Inside", "inside"]

PATIENCE = 10.0  # seconds: an engine is looked into between two steps


class Inside(Struct):
    engines: dict[str, EngineView]  # by the replica's name; those that run


async def inside(service: Service, _body: bytes, _scope: Scope) -> bytes:
    """The handler of /inside."""
    views: dict[str, EngineView] = {}
    if isinstance(service.engine, ShowsInside):
        try:
            views = await asyncio.wait_for(service.engine.views(), PATIENCE)
        except TimeoutError:
            raise ApiError(
                503, "the engine is in a long step: ask again", code="busy", retry_after=1
            ) from None
    return msgspec.json.encode(Inside(views))
