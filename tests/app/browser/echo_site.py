"""The app on a model that repeats what it is told, so that a test knows what comes.

Lines of a message that begin with ``!`` say how: ``!slow 0.1`` waits so many seconds after each
word, ``!die 3`` ends the connection after so many, ``!fail TEXT`` refuses, ``!request`` answers
with the request that came.
"""

import asyncio
import json
import re
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from groundup.app.application import App
from groundup.app.endpoints import Endpoints, Remote
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from groundup.app.web import create_web, serve_web
from groundup.serving.server import listen


async def echo(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    lines = body["messages"][-1]["content"].splitlines(keepends=True)
    orders = dict(line[1:].strip().partition(" ")[::2] for line in lines if line[0] == "!")
    text = "".join(line for line in lines if line[0] != "!")
    if "fail" in orders:
        return web.json_response({"error": {"message": orders["fail"]}}, status=503)
    if "request" in orders:
        text = f"```json\n{json.dumps(body, indent=1)}\n```"
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)

    async def send(data: object) -> None:
        await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    words = re.findall(r"\S*\s*", text)
    for i, word in enumerate(words):
        if "die" in orders and i == int(orders["die"]):
            assert request.transport is not None
            request.transport.abort()
            return response
        await send({"choices": [{"delta": {"content": word}}]})
        await asyncio.sleep(float(orders.get("slow", 0)))
    await send({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    await send({"choices": [], "usage": {"completion_tokens": len(words)}})
    await response.write(b"data: [DONE]\n\n")
    return response


async def serve(folder: Path) -> None:
    model = web.Application()
    model.router.add_post("/v1/chat/completions", echo)
    runner = web.AppRunner(model, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    Endpoints(folder).put(Remote("echo", f"http://127.0.0.1:{port}/v1", models=("echo",)))
    store = Store(default_url(folder))
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = App.create(folder, store, "echo/echo")
    await serve_web(create_web(app), listener, lambda: print(url, file=sys.stderr, flush=True))
    await runner.cleanup()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    uvloop.run(serve(folder))
