"""From HTTP to a handler and back: who may call, the body, errors, streams, clients that leave."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from groundup.serving.api_error import ApiError
from groundup.serving.request_body import ClientGoneError, read_body
from groundup.serving.service import Service

__all__ = ["Endpoint", "EventStream", "Handler", "Reply", "not_found"]

logger = logging.getLogger("groundup.serving")

JSON = (b"content-type", b"application/json")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies like nginx would hold the events back
]


@dataclass(frozen=True)
class EventStream:
    """Server-sent events, and how an error among them is written."""

    events: AsyncGenerator[bytes]
    error: Callable[[ApiError], bytes]


@dataclass(frozen=True)
class Reply:
    """An answer that is not JSON, or not of status 200."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200


Handler = Callable[[Service, bytes, Scope], Awaitable[bytes | EventStream | Reply]]


class Endpoint:
    """One route: an ASGI application around a handler."""

    def __init__(
        self, service: Service, handler: Handler, method: str, *, probe: bool = False
    ) -> None:
        """``probe``: anyone may ask at any time, without a key and while the server drains."""
        self._service = service
        self._handler = handler
        self._methods = ("GET", "HEAD") if method == "GET" else (method,)
        self._probe = probe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._probe:
            await self._answer(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        self._service.in_flight.add(task)
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            if not self._service.cancelled:
                raise
            task.uncancel()
            await send_error(self._service, shutting_down(), send)
        finally:
            self._service.in_flight.discard(task)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._admit(scope)
            if scope["method"] == "POST":
                settings = self._service.settings
                body = await read_body(receive, settings.max_body, settings.body_deadline)
                await self._while_connected(body, scope, receive, send)
            else:
                await self._reply(await self._handler(self._service, b"", scope), send)
        except ClientGoneError:
            pass
        except ApiError as error:
            await send_error(self._service, error, send)
        except RecursionError:  # of what walks through a schema or its like, more deeply than JSON
            too_deep = ApiError(400, "the body is nested too deeply: send flatter JSON")
            await send_error(self._service, too_deep, send)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await send_error(self._service, internal_error(), send)

    async def _admit(self, scope: Scope) -> None:
        if scope["method"] not in self._methods:
            allow = ", ".join(self._methods)
            raise ApiError(
                405,
                f"{scope['method']} {scope['path']} is not possible, expected {allow}",
                code="method_not_allowed",
                allow=allow,
                close=True,  # its body was not read
            )
        if self._probe:
            return
        service = self._service
        try:
            key = service.authenticate(scope["headers"])
            if not service.ready():
                raise ApiError(
                    503,
                    "the server is starting or shutting down: ask again",
                    code="not_ready",
                    retry_after=1,
                )
            if service.settings.admit is not None:
                await service.settings.admit(key, scope["path"])
        except ApiError as error:
            error.close = error.close or scope["method"] == "POST"
            raise

    async def _while_connected(
        self, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Handle and answer; all of it is cancelled when the client leaves."""
        task = asyncio.current_task()
        assert task is not None
        left = False

        async def watch() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            if not answered:
                task.cancel()

        answered = False
        watcher = asyncio.create_task(watch())
        try:
            await self._reply(await self._handler(self._service, body, scope), send)
        except asyncio.CancelledError:
            if not left:
                raise
            task.uncancel()
        finally:
            answered = True
            watcher.cancel()

    async def _reply(self, reply: bytes | EventStream | Reply, send: Send) -> None:
        if isinstance(reply, EventStream):
            async with aclosing(reply.events) as events:
                await self._stream(events, reply.error, send)
        elif isinstance(reply, bytes):
            await send_body(200, [JSON], reply, send)
        else:
            await send_body(reply.status, [(b"content-type", reply.content_type)], reply.body, send)

    async def _stream(
        self, events: AsyncGenerator[bytes], error_event: Callable[[ApiError], bytes], send: Send
    ) -> None:
        # What fails before the first event is an answer with a status of its own.
        event = await anext(events)
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        last = b""
        try:
            while True:
                await send({"type": "http.response.body", "body": event, "more_body": True})
                event = await anext(events)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self._service.cancelled:
                raise
            task.uncancel()
            self._service.metrics.errors.labels("503").inc()
            last = error_event(shutting_down())
        except ApiError as error:
            self._service.metrics.errors.labels(str(error.status)).inc()
            last = error_event(error)
        except Exception:
            logger.exception("a stream failed")
            self._service.metrics.errors.labels("500").inc()
            last = error_event(internal_error())
        await send({"type": "http.response.body", "body": last})


def internal_error() -> ApiError:
    return ApiError(500, "the server failed; what happened is in its log", code="internal_error")


def shutting_down() -> ApiError:
    return ApiError(503, "the server is shutting down: ask again", retry_after=1, close=True)


async def send_error(service: Service, error: ApiError, send: Send) -> None:
    service.metrics.errors.labels(str(error.status)).inc()
    await send_body(error.status, [JSON, *error.headers()], error.body(), send)


async def send_body(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, send: Send
) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def not_found(service: Service) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application for paths that are not there."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        error = ApiError(
            404,
            f"there is no {scope['path']}: /openapi.json lists what there is",
            code="not_found",
            close=True,
        )
        await send_error(service, error, send)

    return answer
