"""A server that speaks OpenAI's way, and says what a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from groundup.app.model_server import Endpoint

__all__ = ["ScriptedModel", "scripted_model"]


class ScriptedModel:
    """Answers with its pieces, one event each."""

    def __init__(self) -> None:
        self.pieces = ["Hello", " there", "."]
        self.pause = asyncio.Event()  # an answer waits for it after its first piece
        self.pause.set()
        self.delay = 0.0  # seconds after each piece
        self.broken_after: int | None = None  # the connection ends after so many pieces
        self.context = 10**9  # characters that are taken
        self.error: tuple[int, str] | None = None  # status and message
        self.late_error = ""  # comes after the pieces
        self.usage: int | None = 7
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.endpoint = Endpoint("", "scripted", "secret", ("attention", "tensor", "sampling"))

    async def endpoint_of(self, model: str) -> Endpoint:
        return self.endpoint

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.error is not None:
            return web.json_response({"error": {"message": self.error[1]}}, status=self.error[0])
        if sum(len(message["content"]) for message in body["messages"]) > self.context:
            error = {"message": "it is too long", "code": "context_length_exceeded"}
            return web.json_response({"error": error}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(data: Any) -> None:
            await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")

        await send({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for i, piece in enumerate(self.pieces):
            if i == self.broken_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            choice: dict[str, Any] = {"delta": {"content": piece}, "finish_reason": None}
            if body.get("logprobs"):
                top = [{"token": piece, "logprob": -0.5}, {"token": "other", "logprob": -1.5}]
                likely = {"token": piece, "logprob": -0.5, "top_logprobs": top}
                choice["logprobs"] = {"content": [likely]}
            await send({"choices": [choice]})
            await self.pause.wait()
            await asyncio.sleep(self.delay)
        if self.late_error:
            await send({"error": {"message": self.late_error}})
            return response
        await send({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        if self.usage is not None:
            await send({"choices": [], "usage": {"completion_tokens": self.usage}})
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def scripted_model() -> AsyncIterator[ScriptedModel]:
    """One that listens."""
    model = ScriptedModel()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    model.endpoint = Endpoint(
        f"http://127.0.0.1:{port}/v1", "scripted", "secret", model.endpoint.parts
    )
    try:
        yield model
    finally:
        model.pause.set()
        await runner.cleanup()
