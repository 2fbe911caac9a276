"""What is uploaded is kept within limits, and what goes wrong on the way is said."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from groundup.app import data_routes
from groundup.app.data_routes import receive_file
from groundup.errors import GroundupError


def upload(*pieces: bytes, ended: bool = True) -> Request:
    """A request whose body comes in these pieces, or breaks off after them."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request"} if ended else {"type": "http.disconnect"})
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    taken: Callable[[], Awaitable[Any]] = receive
    return Request({"type": "http"}, taken)


async def test_as_much_as_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_routes, "LARGEST_UPLOAD", 8)
    await receive_file(upload(b"1234", b"5678"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"12345678"
    with pytest.raises(GroundupError, match="the file is larger than"):
        await receive_file(upload(b"1234", b"56789"), tmp_path / "file")


async def test_one_that_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="broke off: nothing was imported"):
        await receive_file(upload(b"1234", ended=False), tmp_path / "file")


async def test_a_full_disk() -> None:
    with pytest.raises(GroundupError, match="cannot be kept while it is read: No space left"):
        await receive_file(upload(b"1234"), Path("/dev/full"))
