"""Runs the application: one process, one event loop, until it is told to end."""

import asyncio
import gc
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from groundup.errors import GroundupError
from groundup.serving.http_protocol import BoundedHttpProtocol
from groundup.serving.intake import Intake

__all__ = ["OnceTold", "Server", "ServerSettings", "listen"]

POLL = 0.05  # seconds


@dataclass(frozen=True)
class ServerSettings:
    """How connections are held."""

    keep_alive: int = 30  # seconds that an idle connection stays open
    drain_deadline: float = 30.0  # seconds that answers have to end after SIGTERM


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        GroundupError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise GroundupError(
            f"cannot listen on {host} port {port}: {reason}; name another with --port or --host, "
            "or end the program that has it"
        ) from None
    return listener


class OnceTold(uvicorn.Server):
    """Ends at a signal as uvicorn's does, but does not send it to its own process again then.

    The programs here have more to close after their server: models, databases.
    """

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, and what was captured is over."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()


class Server(OnceTold):
    """Ends gracefully: at SIGTERM new requests get 503, and those being answered are finished.

    The socket stays open meanwhile, so that load balancers see /ready fail, not connections. What
    is not finished at the deadline is cancelled, and its client told so.
    """

    def __init__(self, app: ASGIApp, intake: Intake, settings: ServerSettings) -> None:
        """Arguments:
        app: the routes.
        intake: what they share. It is entered for as long as the server runs.
        settings: of connections and of the end.
        """
        self._intake = intake
        self._drain_deadline = settings.drain_deadline
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                log_level="warning",
                timeout_keep_alive=settings.keep_alive,
                timeout_graceful_shutdown=2,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        async with self._intake:
            await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What SIGTERM and SIGINT do: the first of them begins to drain."""
        self._intake.draining = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the sockets. What is loaded by now stays, so Python's collector may pass it over."""
        gc.collect()
        gc.freeze()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close."""
        self._intake.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_deadline
        while self._intake.in_flight and loop.time() < deadline and not self.force_exit:
            await asyncio.sleep(POLL)
        if self._intake.in_flight:
            self._intake.cancel()
        await super().shutdown(sockets)
