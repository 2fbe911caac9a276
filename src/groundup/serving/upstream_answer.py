"""Reading an upstream's answer: events of a stream, tokens used, errors."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from groundup.serving.api_error import ApiError

__all__ = [
    "Refusal",
    "ends_stream",
    "events_of",
    "split_error",
    "tokens_in",
    "tokens_of",
    "without_usage",
]

EVENT_END = re.compile(rb"\r?\n\r?\n")
ENDS = re.compile(
    rb"^data: ?\[DONE\]|^event: ?response\.(?:completed|incomplete|failed)", re.MULTILINE
)
USAGE = re.compile(rb'"usage": ?\{')
ERROR = re.compile(
    rb'^(?:event: ?error\r?\n)?data: ?(\{"(?:error": ?\{|type": ?"error").*)$', re.MULTILINE
)


class Refusal(ApiError):  # noqa: N818 (it says what is the case)
    """An upstream's own error, passed on as it is if it is of OpenAI's shape."""

    def __init__(self, status: int, body: bytes) -> None:
        self._body: bytes | None = body
        try:
            message = msgspec.json.decode(body, type=_ErrorBody).error.message
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._body = None
            said = body[:200].decode(errors="replace")
            message = f"the upstream answered {status}: {said}"
        super().__init__(status, message)

    def body(self) -> bytes:
        """The error as JSON."""
        return super().body() if self._body is None else self._body


class _ErrorMessage(Struct):
    message: str


class _ErrorBody(Struct):
    error: _ErrorMessage


async def events_of(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """The answer's server-sent events, as many at a time as came, each of them whole.

    Raises:
        aiohttp.ClientError: the connection broke.
    """
    rest = b""
    async for chunk in response.content.iter_any():
        rest += chunk
        end = 0
        for found in EVENT_END.finditer(rest, max(0, len(rest) - len(chunk) - 3)):
            end = found.end()
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def ends_stream(events: bytes) -> bool:
    """Whether these events are the last of a stream that came to its end."""
    return ENDS.search(events) is not None


def split_error(events: bytes) -> tuple[bytes, Refusal | None]:
    """The events before an error, and the error, with which the stream broke off; None if none."""
    found = ERROR.search(events)
    if found is None:
        return events, None
    try:
        data = msgspec.json.decode(found[1])
    except msgspec.DecodeError:
        return events, None
    detail = data.get("error") or {name: data.get(name) for name in ("message", "code", "param")}
    return events[: found.start()], Refusal(502, msgspec.json.encode({"error": detail}))


class _Counts(Struct):
    total_tokens: int = 0


class _WithUsage(Struct):
    usage: _Counts | None = None
    response: Any = None  # of the responses interface's last event


def tokens_of(data: bytes) -> int:
    """What a whole answer, or an event's data, says of its tokens; 0 if it says nothing."""
    try:
        found = msgspec.json.decode(data, type=_WithUsage)
        if found.usage is None and isinstance(found.response, dict):
            found = msgspec.convert(found.response, _WithUsage)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    return found.usage.total_tokens if found.usage is not None else 0


def tokens_in(events: bytes) -> int:
    """What the last of these events that tells of tokens says of them; 0 if none does."""
    if USAGE.search(events) is None:
        return 0
    told = [tokens_of(line[5:]) for line in events.splitlines() if line.startswith(b"data:")]
    return max(told, default=0)


def without_usage(events: bytes) -> tuple[bytes, int]:
    """The events without the one that tells the usage alone, and the tokens that it told."""
    kept: list[bytes] = []
    tokens = 0
    for each in EVENT_END.split(events):
        if each.startswith(b"data:") and b'"choices":[]' in each.replace(b" ", b""):
            tokens += tokens_of(each[5:])
        elif each:
            kept.append(each + b"\n\n")
    return b"".join(kept), tokens
