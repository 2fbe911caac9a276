"""A request's body: read within a limit and a deadline, and decoded into what the API knows."""

import asyncio
import re
from typing import Generic, TypeVar

import msgspec
from starlette.types import Receive

from groundup.serving.api_error import ApiError

__all__ = ["ClientGoneError", "Decoder", "read_body"]

T = TypeVar("T")

# A client that is still sending does not read, and would see a broken connection instead of the
# answer 413. So some more is taken and thrown away before it is given.
DISCARDED = 4


class ClientGoneError(Exception):
    """The client has left before its request was complete: there is nobody to answer."""


async def read_body(receive: Receive, limit: int, deadline: float) -> bytes:
    """The whole body.

    Raises:
        ApiError: it is longer than ``limit`` bytes (413), or takes more than ``deadline`` seconds
            to come (408).
        ClientGoneError: the connection ended first.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                if size <= limit:
                    chunks.append(chunk)
                else:
                    chunks.clear()
                if not message.get("more_body", False) or size > DISCARDED * limit:
                    break
    except TimeoutError:
        raise ApiError(
            408,
            f"the request's body was not complete after {deadline:g} seconds: send it faster",
            close=True,
        ) from None
    if size > limit:
        raise ApiError(
            413,
            f"the request's body is longer than {limit:,} bytes: send less at a time",
            code="request_too_large",
            close=True,
        )
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


# What msgspec's messages say of the place, and of a name that is not known there.
PLACE = re.compile(r" - at `(?:key in )?\$?\.?([^`]*)`$")
UNKNOWN = re.compile(r"unknown field `([^`]*)`")
MISSING = re.compile(r"missing required field `([^`]*)`")


class Decoder(Generic[T]):
    """Bytes to one kind of request, or an error that names the field."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def __call__(self, body: bytes) -> T:
        """The request. Raises: ApiError (400) if it is not JSON, or not of the right form."""
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
        except RecursionError:
            raise ApiError(
                400, "the body is nested too deeply: send flatter JSON", code="invalid_json"
            ) from None


def _invalid(message: str) -> ApiError:
    place = PLACE.search(message)
    param = place[1].removesuffix("[...]") if place else ""  # any value of an object
    message = PLACE.sub("", message)
    name = UNKNOWN.search(message) or MISSING.search(message)
    if name:
        param = f"{param}.{name[1]}" if param else name[1]
    code = None
    if UNKNOWN.search(message):
        message = f"{param} is not a field that this server knows: leave it out"
        code = "unknown_parameter"
    elif param:
        message = f"{param}: {message[0].lower()}{message[1:]}"
    return ApiError(400, message, param=param or None, code=code)
