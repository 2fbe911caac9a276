"""Addresses at which a user's data leave and come back as a file: ``/data/export`` and ``import``.

Both are behind the shield and the sign-in, and about the user who asks alone.
"""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from groundup.app.answers import Changed
from groundup.app.application import App
from groundup.errors import GroundupError

__all__ = ["add_data_routes"]

LARGEST_UPLOAD = 256 << 20  # bytes of an archive, packed


def add_data_routes(server: FastAPI, app: App) -> None:
    """Serve both."""

    @server.get("/data/export")
    async def export(request: Request) -> Response:
        folder = tempfile.TemporaryDirectory(prefix="groundup-")  # readable by the user alone
        path = Path(folder.name) / "export.zip"
        try:
            await asyncio.to_thread(app.store.archive.export, request.user.id, path)
        except GroundupError as error:
            folder.cleanup()
            return PlainTextResponse(f"groundup: {error}", 507)
        name = f"groundup-{request.user.name}-{datetime.now(UTC):%Y-%m-%d}.zip"
        return FileResponse(
            path,
            media_type="application/zip",
            filename=name,
            headers={"cache-control": "no-store"},
            background=BackgroundTask(folder.cleanup),
        )

    @server.post("/data/import")
    async def take_up(request: Request) -> Response:
        """The body is the archive. Answers with {conversations, known} or {error}."""
        with tempfile.TemporaryDirectory(prefix="groundup-") as folder:
            path = Path(folder) / "import.zip"
            try:
                await receive_file(request, path)
                restored = await asyncio.to_thread(app.store.archive.restore, request.user.id, path)
            except GroundupError as error:
                return JSONResponse({"error": str(error)})
        app.answers.changes.tell(request.user.id, Changed(""))
        return JSONResponse({"conversations": restored.conversations, "known": restored.known})


async def receive_file(request: Request, path: Path) -> None:
    """Write a request's body into a file.

    Raises:
        GroundupError: it is too large, breaks off, or cannot be written.
    """
    size = 0
    try:
        with path.open("wb") as file:
            async for piece in request.stream():
                size += len(piece)
                if size > LARGEST_UPLOAD:
                    raise GroundupError(
                        f"the file is larger than {LARGEST_UPLOAD >> 20} MiB, more than an "
                        f"archive of groundup may be"
                    )
                await asyncio.to_thread(file.write, piece)
    except ClientDisconnect:
        raise GroundupError("the upload broke off: nothing was imported") from None
    except OSError as error:
        raise GroundupError(f"the file cannot be kept while it is read: {error.strerror}") from None
