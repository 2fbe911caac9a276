"""The app in a real browser: how soon a token is seen, and what happens when there is much.

The model is a script that writes numbered words at a steady pace and notes when each left it, so
what is measured is the app: its client, its tasks, Markdown, the page's socket, the browser.

- start: from the address to a page that can be written in, in a browser that has nothing kept.
- one chat: from when a word left the model to when it stood in the page.
- many chats at once, at 4 words a second each and at 20: the same, in one browser page, while other
  pages (sockets that read all they are sent) watch a chat each. Then the app's processor time.
- a long conversation: until its end is seen, and frames while it is scrolled through; beside it, a
  page of plain elements with the same messages.

    python -m benchmarks.app [--chats 50] [--seconds 15] [--messages 10000] [--runs 5]
"""

import argparse
import ast
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import socketio
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from groundup.app.application import App
from groundup.app.endpoints import Endpoints, Remote
from groundup.app.markdown import render
from groundup.app.store import tables
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from groundup.app.web import create_web, serve_web
from groundup.serving.server import listen

MODEL = "script/words"
WORD = re.compile(r"w(\d+)\b")
# Notes when each numbered word is first seen, by the machine's clock.
WATCH = """() => {
    window.seen = {};
    new MutationObserver(() => {
        const now = performance.timeOrigin + performance.now();
        const text = document.querySelector('.message:last-of-type .message-text')?.textContent;
        const last = Number(/w(\\d+)\\s*$/.exec(text ?? '')?.[1] ?? -1);
        for (let i = last; i >= 0 && !(i in window.seen); i--) window.seen[i] = now;
    }).observe(document.querySelector('.conversation'),
               {subtree: true, childList: true, characterData: true});
}"""
SCROLL = """(screens) => new Promise((done) => {
    const scroller = document.querySelector('.conversation') ?? document.scrollingElement;
    const frames = [];
    let before = performance.now(), i = 0;
    scroller.scrollTop = 0;
    requestAnimationFrame(function step(now) {
        frames.push(now - before);
        before = now;
        scroller.scrollTop += scroller.clientHeight / 2;
        if (++i < screens) requestAnimationFrame(step);
        else done(frames);
    });
})"""


# --- the app, in a process of its own


async def serve(folder: Path) -> None:
    """The app and its model; what the benchmark wants is asked for beside it."""
    pace = {"rate": 20.0, "words": 100}
    left: dict[str, list[float]] = {}  # by the question: when each word left

    async def answer(request: web.Request) -> web.StreamResponse:
        question = (await request.json())["messages"][-1]["content"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        times = left[question] = []
        due = time.monotonic()
        for i in range(int(pace["words"])):
            due += 1 / pace["rate"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # A paragraph now and then, and a little Markdown, as answers have.
            text = f"{'' if i % 40 else chr(10) * 2}{'**so** ' if i % 9 == 0 else ''}w{i} "
            times.append(time.time() * 1000)
            event = {"choices": [{"delta": {"content": text}}]}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def ask(request: web.Request) -> web.Response:
        body = await request.json()
        pace.update(body["pace"])
        await asyncio.gather(*(app.answers.ask(user, id, id, None) for id in body["chats"]))
        return web.json_response({})

    async def times(request: web.Request) -> web.Response:
        return web.json_response(left)

    model = web.Application()
    model.router.add_post("/v1/chat/completions", answer)
    model.router.add_post("/ask", ask)
    model.router.add_get("/times", times)
    runner = web.AppRunner(model, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    beside = f"http://127.0.0.1:{runner.addresses[0][1]}"
    Endpoints(folder).put(Remote("script", f"{beside}/v1", models=("words",)))
    store = Store(default_url(folder))
    user = store.accounts.local().id
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = App.create(folder, store, MODEL)
    await serve_web(create_web(app), listener, lambda: print(url, beside, flush=True))
    await runner.cleanup()


# --- pages that are not browsers


async def watch(url: str, conversation: str, session: aiohttp.ClientSession) -> "Watcher":
    """Open a conversation's page as a browser does, and read what it is sent."""
    async with session.get(f"{url}/chat/{conversation}") as response:
        html = await response.text()
    found = re.search(r"query: (\{.*?\}),\n", html)
    assert found, "the page names no query for its socket"
    query = {**ast.literal_eval(found[1]), "document_id": conversation, "tab_id": conversation}
    watcher = Watcher()
    client = socketio.AsyncClient(reconnection=False)
    client.on("run_javascript", watcher.take)
    watcher.client = client
    fields = "&".join(f"{name}={str(value).lower()}" for name, value in query.items())
    await client.connect(
        f"{url}/?{fields}", socketio_path="/_nicegui_ws/socket.io", transports=["websocket"]
    )
    if not query.get("implicit_handshake"):
        assert await client.call("handshake", query), "the page was refused"
    return watcher


class Watcher:
    """A page's socket."""

    def __init__(self) -> None:
        self.client: Any = None
        self.seen: dict[int, float] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Note the words of an update."""
        now = time.time() * 1000
        words = WORD.findall(message["code"])
        if words and '"progress"' in message["code"]:
            last = int(words[-1])
            while last >= 0 and last not in self.seen:
                self.seen[last] = now
                last -= 1


# --- what is measured


def shown(name: str, values: Sequence[float], unit: str = "ms") -> None:
    ordered = sorted(values)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    print(
        f"{name:44} median {statistics.median(ordered):7.1f} {unit}   95% {p95:7.1f}   "
        f"worst {ordered[-1]:7.1f}   n {len(ordered)}",
        flush=True,
    )


async def opened(browser: Browser, url: str) -> tuple[Page, float]:
    """A page of a browser that has nothing kept, and the milliseconds until one can write."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    start = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.wait_for_function(
        "document.activeElement?.id === 'composer-text' && window.did_handshake", polling=10
    )
    return page, (time.perf_counter() - start) * 1000


async def delays(
    browser: Browser, url: str, beside: str, ids: list[str], rate: float, seconds: float
) -> tuple[list[float], list[float], float]:
    """Answer all these conversations at once.

    Returns:
        Milliseconds from the model to the browser's page; to the other pages' sockets; and from
        the asking to the end, in seconds.
    """
    async with aiohttp.ClientSession() as session:
        page, _ = await opened(browser, f"{url}/chat/{ids[0]}")
        await page.evaluate(WATCH)
        watchers = [await watch(url, id, session) for id in ids[1:]]
        pace = {"rate": rate, "words": int(rate * seconds)}
        start = time.perf_counter()
        async with session.post(f"{beside}/ask", json={"chats": ids, "pace": pace}) as asked:
            asked.raise_for_status()
        last = pace["words"] - 1
        limit = 1000 * (seconds * 4 + 30)
        await page.wait_for_function(f"{last} in window.seen", timeout=limit)
        took = time.perf_counter() - start
        async with asyncio.timeout(60):
            while not all(last in watcher.seen for watcher in watchers):
                await asyncio.sleep(0.05)
        async with session.get(f"{beside}/times") as response:
            left = await response.json()
        seen = {int(i): t for i, t in (await page.evaluate("window.seen")).items()}
        for watcher in watchers:
            with suppress(Exception):
                await watcher.client.disconnect()
        await page.context.close()
    in_page = [seen[i] - t for i, t in enumerate(left[ids[0]])]
    in_sockets = [
        watcher.seen[i] - t
        for id, watcher in zip(ids[1:], watchers, strict=True)
        for i, t in enumerate(left[id])
    ]
    return in_page, in_sockets, took


def long_conversation(store: Store, count: int) -> tuple[str, str]:
    """Its id, and all its messages as one plain page."""
    user = store.accounts.local().id
    conversation = store.conversations.create(user, title="Long", model=MODEL)
    rows: list[dict[str, Any]] = [
        {
            "id": f"{conversation.id}-{i}",
            "conversation_id": conversation.id,
            "parent_id": f"{conversation.id}-{i - 1}" if i else None,
            "role": "assistant" if i % 2 else "user",
            "content": f"Message {i}. " + "Some words, *more* or fewer. " * (i * 7919 % 37),
            "state": "complete", "error": "", "model": MODEL, "parts": [], "created": float(i),
        }
        for i in range(count)
    ]  # fmt: skip
    with store._database.writing() as connection:
        connection.execute(tables.messages.insert(), rows)
    store.messages.set_head(user, conversation.id, rows[-1]["id"])
    plain = "".join(f"<article>{render(row['content'])}</article>" for row in rows)
    return conversation.id, f"<!doctype html><body style='font: 15px sans-serif'>{plain}</body>"


async def scrolled(browser: Browser, url: str, sign: str) -> tuple[float, list[float]]:
    """Milliseconds until the end is seen, and those of frames while it is scrolled through."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    start = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.get_by_text(sign).wait_for(state="attached", timeout=120_000)
    await page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )
    until = (time.perf_counter() - start) * 1000
    frames = await page.evaluate(SCROLL, 300)
    devtools = await context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    metrics = await devtools.send("Performance.getMetrics")
    heap = next(m["value"] for m in metrics["metrics"] if m["name"] == "JSHeapUsedSize")
    nodes = next(m["value"] for m in metrics["metrics"] if m["name"] == "Nodes")
    print(f"  {nodes:,.0f} nodes, {heap / 1e6:.0f} MB of JavaScript's memory")
    await context.close()
    return until, frames


async def measure(folder: Path, options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "benchmarks.app", "--serve", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    store = None
    try:
        url, beside = process.stdout.readline().split()
        store = Store(default_url(folder))
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            await measure_start(browser, url, options)
            for count, rate in ((1, 20.0), (options.chats, 4.0), (options.chats, 20.0)):
                ids = new_chats(store, count)
                await measure_chats(browser, url, beside, process.pid, ids, rate, options.seconds)
            await measure_history(browser, url, store, folder, options)
            await browser.close()
    finally:
        if store is not None:
            store.close()
        process.terminate()
        process.wait(30)


async def measure_start(browser: Browser, url: str, options: argparse.Namespace) -> None:
    starts = []
    for _ in range(options.runs):
        page, until = await opened(browser, f"{url}/chat")
        starts.append(until)
        await page.context.close()
    shown("start: a page to write in", starts)


def new_chats(store: Store, count: int) -> list[str]:
    user, create = store.accounts.local().id, store.conversations.create
    return [create(user, title="t", model=MODEL).id for _ in range(count)]


async def measure_chats(
    browser: Browser,
    url: str,
    beside: str,
    pid: int,
    ids: list[str],
    rate: float,
    seconds: float,
) -> None:
    app, name = psutil.Process(pid), f"{len(ids)} at {rate:.0f} words/s"
    before = sum(app.cpu_times()[:2])
    in_page, in_sockets, took = await delays(browser, url, beside, ids, rate, seconds)
    cpu = sum(app.cpu_times()[:2]) - before
    shown(f"{name}: model to browser", in_page)
    if in_sockets:
        shown(f"{name}: model to the other pages", in_sockets)
    words = len(ids) * int(rate * seconds)
    print(
        f"  {words:,} words in {took:.1f} s (written in {seconds:.1f} s); the app used {cpu:.1f} s "
        f"of processor time with its pages, {cpu / words * 1e6:.0f} µs a word",
        flush=True,
    )


async def measure_history(
    browser: Browser, url: str, store: Store, folder: Path, options: argparse.Namespace
) -> None:
    id, plain = long_conversation(store, options.messages)
    static = folder / "plain.html"
    static.write_text(plain)
    for name, address in (("ours", f"{url}/chat/{id}"), ("plain", static.as_uri())):
        until, frames = await scrolled(browser, address, f"Message {options.messages - 1}.")
        shown(f"{options.messages:,} messages, {name}: end seen", [until])
        shown(f"{options.messages:,} messages, {name}: frames", frames)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chats", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="of the start")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        import uvloop

        uvloop.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), options))


if __name__ == "__main__":
    main()
