"""The app's web server: pages, their sockets and what protects them, in one event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from groundup.app.application import App
from groundup.app.data_routes import add_data_routes
from groundup.app.security import Shield
from groundup.app.shell import add_pages
from groundup.app.sign_in import LocalUser, SignIn
from groundup.serving.server import OnceTold

__all__ = ["create_web", "serve_web"]

# The mark, in colours that a light and a dark browser both show.
FAVICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20" fill="none"
stroke-width="3.4" stroke-linecap="round"><path stroke="#1f9e85" d="M2.5 4.5h15"/>
<path stroke="#d9772b" d="M4.5 10h11"/><path stroke="#1f9e85" d="M7 15.5h6"/></svg>"""
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def create_web(app: App) -> ASGIApp:
    """The app as ASGI. NiceGUI holds its pages in the process: one app for each.

    Without sign-in it answers to this machine's own names only.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await app.answers.start()
        warming = asyncio.create_task(app.warm_up())
        app.metrics.start()
        yield
        warming.cancel()
        await app.answers.close()
        await app.pulls.close()
        await app.metrics.close()
        await app.reader.close()
        await app.models.close()
        app.store.close()

    server = FastAPI(
        title="groundup", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    add_data_routes(server, app)
    add_pages(server, app)
    ui.run_with(
        server,
        title="groundup",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        reconnect_timeout=10,
        gzip_middleware_factory=None,  # the shield reads pages; they are compressed outside it
        tailwind=False,
        show_welcome_message=False,
    )
    if app.sessions is None:
        shield = Shield(LocalUser(server, app.store), LOCAL_NAMES)
    else:
        shield = Shield(SignIn(server, app.store, app.sessions))
    return GZipMiddleware(shield, minimum_size=1000)


async def serve_web(
    web: ASGIApp, listener: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until Ctrl-C or SIGTERM. ``ready`` is called when the first page can be had."""
    config = uvicorn.Config(
        web,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_level="warning",
        ws_max_size=4 << 20,
        timeout_graceful_shutdown=2,  # pages hold their sockets open
    )
    server = OnceTold(config)

    async def tell() -> None:
        while not server.started and not server.should_exit:
            await asyncio.sleep(0.02)
        if server.started:
            ready()

    telling = asyncio.create_task(tell())
    try:
        await server.serve(sockets=[listener])
    finally:
        telling.cancel()
