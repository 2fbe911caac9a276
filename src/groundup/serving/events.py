"""Server-sent events."""

import msgspec

from groundup.serving.api_error import ApiError

__all__ = ["DONE", "error_event", "event"]

DONE = b"data: [DONE]\n\n"


def event(data: msgspec.Struct, name: str | None = None) -> bytes:
    """One event whose data is JSON."""
    head = b"" if name is None else b"event: %b\n" % name.encode()
    return b"%bdata: %b\n\n" % (head, msgspec.json.encode(data))


def error_event(error: ApiError) -> bytes:
    """An error in the middle of a stream, as the chat and completion interfaces write it."""
    return b"data: %b\n\n" % error.body()
