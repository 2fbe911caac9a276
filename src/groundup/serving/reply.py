"""What a handler answers with: a body, or server-sent events."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from groundup.serving.api_error import ApiError

__all__ = ["JSON", "STREAM_HEADERS", "EventStream", "Headers", "Reply"]

Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies like nginx would hold the events back
]


@dataclass(frozen=True)
class EventStream:
    """Server-sent events, and how an error among them is written."""

    events: AsyncGenerator[bytes]
    error: Callable[[ApiError], bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those of every stream


@dataclass(frozen=True)
class Reply:
    """An answer that is whole. Handlers may give bytes for JSON of status 200."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
