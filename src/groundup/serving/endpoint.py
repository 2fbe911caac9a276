"""From HTTP to a handler and back: who may call, the body, errors, streams, clients that leave."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from starlette.types import Receive, Scope, Send

from groundup.serving.answer_cache import Answer
from groundup.serving.api_error import ApiError
from groundup.serving.api_keys import ApiKey
from groundup.serving.intake import Intake
from groundup.serving.reply import JSON, STREAM_HEADERS, EventStream, Headers, Reply
from groundup.serving.request_body import ClientGoneError, read_body
from groundup.serving.traces import current_trace
from groundup.serving.usage import Spent, estimated_tokens, spending

__all__ = ["Endpoint", "Handler", "not_found"]

logger = logging.getLogger("groundup.serving")

Handler = Callable[[bytes, Scope], Awaitable[Answer]]


class Endpoint:
    """One route: an ASGI application around a handler."""

    def __init__(
        self,
        intake: Intake,
        handler: Handler,
        method: str,
        *,
        probe: bool = False,
        kept: bool = False,
    ) -> None:
        """Arguments:
        intake: of the server.
        handler: gives the answer to a body.
        method: of HTTP.
        probe: anyone may ask at any time, without a key and while the server drains.
        kept: answers may be kept, and told again.
        """
        self._intake = intake
        self._handler = handler
        self._cache = intake.cache if kept else None
        self._methods = ("GET", "HEAD") if method == "GET" else (method,)
        self._probe = probe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._probe:
            await self._answer(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        self._intake.in_flight.add(task)
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            if not self._intake.cancelled:
                raise
            task.uncancel()
            await send_error(self._intake, shutting_down(), send)
        finally:
            self._intake.in_flight.discard(task)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key, headers = await self._admit(scope)
            if scope["method"] == "POST":
                settings = self._intake.settings
                body = await read_body(receive, settings.max_body, settings.body_deadline)
                await self._post(key, headers, body, scope, receive, send)
            else:
                await self._reply(await self._handler(b"", scope), headers, send)
        except ClientGoneError:
            pass
        except ApiError as error:
            await send_error(self._intake, error, send)
        except RecursionError:  # of what walks through a schema or its like, more deeply than JSON
            too_deep = ApiError(400, "the body is nested too deeply: send flatter JSON")
            await send_error(self._intake, too_deep, send)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await send_error(self._intake, internal_error(), send)

    async def _admit(self, scope: Scope) -> tuple[ApiKey | None, Headers]:
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
            return None, []
        callers = self._intake.callers
        try:
            key = callers.authenticate(scope["headers"])
            if not self._intake.ready():
                raise ApiError(
                    503,
                    "the server is starting or shutting down: ask again",
                    code="not_ready",
                    retry_after=1,
                )
            return key, await callers.admit(key) if scope["method"] == "POST" else []
        except ApiError as error:
            error.close = error.close or scope["method"] == "POST"
            raise

    async def _post(
        self,
        key: ApiKey | None,
        headers: Headers,
        body: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async def compute() -> Answer:
            return await self._charged(key, body, scope)

        if (cache := self._cache) is None:
            await self._while_connected(compute, headers, receive, send)
            return
        client = "" if key is None or cache.shared else key.sha256
        digest = cache.digest(client, scope["path"], body)
        if (kept := cache.recall(digest)) is not None:
            await self._reply(kept, headers, send)
            return

        async def answer() -> Answer:
            return await cache.answer(digest, client, scope["path"], body, compute)

        await self._while_connected(answer, headers, receive, send)

    async def _charged(self, key: ApiKey | None, body: bytes, scope: Scope) -> Answer:
        """The handler's answer, whose tokens are counted for the key."""
        if key is None:
            return await self._handler(body, scope)
        callers = self._intake.callers
        spent = Spent()
        spending.set(spent)
        reserved = await callers.reserve(key, estimated_tokens(body))
        ended = True
        try:
            answer = await self._handler(body, scope)
            if isinstance(answer, EventStream):
                ended = False  # the rest of it will settle
                return replace(answer, events=self._settled(answer.events, key, reserved, spent))
            return answer
        finally:
            if ended:
                await callers.settle(key, reserved, spent.tokens)

    async def _settled(
        self, events: AsyncGenerator[bytes], key: ApiKey, reserved: int, spent: Spent
    ) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            await self._intake.callers.settle(key, reserved, spent.tokens)

    async def _while_connected(
        self,
        answer: Callable[[], Awaitable[Answer]],
        headers: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer; all of it is cancelled when the client leaves."""
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
            await self._reply(await answer(), headers, send)
        except asyncio.CancelledError:
            if not left:
                raise
            task.uncancel()
        finally:
            answered = True
            watcher.cancel()

    async def _reply(self, answer: Answer, headers: Headers, send: Send) -> None:
        if isinstance(answer, EventStream):
            async with aclosing(answer.events):
                await self._stream(answer, headers, send)
            return
        reply = Reply(answer) if isinstance(answer, bytes) else answer
        headers = [(b"content-type", reply.content_type), *reply.headers, *headers]
        await send_body(reply.status, headers, reply.body, send)

    async def _stream(self, stream: EventStream, headers: Headers, send: Send) -> None:
        events, error_event = stream.events, stream.error
        # What fails before the first event is an answer with a status of its own.
        event = await anext(events)
        headers = [*STREAM_HEADERS, *stream.headers, *headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = b""
        failure: ApiError | None = None
        try:
            while True:
                await send({"type": "http.response.body", "body": event, "more_body": True})
                event = await anext(events)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self._intake.cancelled:
                raise
            task.uncancel()
            failure = shutting_down()
        except ApiError as error:
            failure = error
        except Exception:
            logger.exception("a stream failed")
            failure = internal_error()
        if failure is not None:
            count_error(self._intake, failure)
            last = error_event(failure)
        await send({"type": "http.response.body", "body": last})


def internal_error() -> ApiError:
    return ApiError(500, "the server failed; what happened is in its log", code="internal_error")


def shutting_down() -> ApiError:
    return ApiError(503, "the server is shutting down: ask again", retry_after=1, close=True)


def count_error(intake: Intake, error: ApiError) -> None:
    intake.errors.labels(str(error.status)).inc()
    if (trace := current_trace.get()) is not None:
        trace.failed(str(error.status), error.message)


async def send_error(intake: Intake, error: ApiError, send: Send) -> None:
    count_error(intake, error)
    headers = [(b"content-type", JSON), *error.headers()]
    await send_body(error.status, headers, error.body(), send)


async def send_body(status: int, headers: Headers, body: bytes, send: Send) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def not_found(intake: Intake) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
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
        await send_error(intake, error, send)

    return answer
