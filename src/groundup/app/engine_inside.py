"""Asks a model's server what there is to see of its engine."""

from typing import Any

import aiohttp

from groundup.app.model_server import Endpoint

__all__ = ["engine_inside"]

PATIENCE = 5.0  # seconds


async def engine_inside(endpoint: Endpoint) -> dict[str, Any] | None:
    """The view of the first engine, as GET /inside tells it; None where there is none now."""
    url = f"{endpoint.base_url.removesuffix('/v1')}/inside"
    headers = {"authorization": f"Bearer {endpoint.key}"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers) as response,
        ):
            if response.status != 200:
                return None
            engines: dict[str, dict[str, Any]] = (await response.json())["engines"]
    except (aiohttp.ClientError, TimeoutError):
        return None
    return next(iter(engines.values()), None)
