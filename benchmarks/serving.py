"""How many short requests one server process answers, with an engine that answers at once.

The time that is measured is the HTTP interface's own: parsing, the chat template, tokenisation,
metrics, JSON. The load comes from another process, over keep-alive connections. Processor time
tells what a request costs, whatever else the machine does.

    python -m benchmarks.serving [--seconds 5] [--connections 32] [--profile]
"""

import argparse
import asyncio
import cProfile
import itertools
import json
import multiprocessing
import pstats
import resource
import time
from collections.abc import AsyncGenerator, Sequence
from multiprocessing.connection import Connection

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.http_client import Client, post
from groundup.engine.request import Request, Token
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.serving.app import create_app
from groundup.serving.intake import IntakeSettings
from groundup.serving.server import Server, ServerSettings, listen
from groundup.serving.service import Service
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.tokenizer import Tokenizer

ANSWER = 8  # tokens


class InstantEngine:
    """Gives the same few tokens at once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.model_name = "instant"
        self.adapters: dict[str, str] = {}
        self.context = 8192
        self.tokenizer = tokenizer
        ids = tokenizer.encode("The capital of France is Paris.", special=False)[: ANSWER - 1]
        [end, *_] = tokenizer.eos_ids
        self.tokens = [[Token(i)] for i in ids] + [[Token(end, finish_reason="stop")]]

    async def generate(self, request: Request) -> AsyncGenerator[list[Token]]:
        for tokens in self.tokens:
            yield tokens

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return np.zeros((len(prompts), 384), np.float32)

    def ready(self) -> bool:
        return True


def serve(pipe: Connection, profile: bool) -> None:
    """Serve until told to end; then report processor seconds."""
    tokenizer = tokenizer_from_gguf(read_gguf(fetch("smollm2-135m-instruct")).metadata)
    service = Service(InstantEngine(tokenizer), IntakeSettings(places=1024))
    server = Server(create_app(service), service, ServerSettings(drain_deadline=1))
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        pipe.send(port)
        while not pipe.poll():
            await asyncio.sleep(0.05)
        server.should_exit = True
        await serving

    profiler = cProfile.Profile()
    before = resource.getrusage(resource.RUSAGE_SELF)
    if profile:
        profiler.enable()
    uvloop.run(run())
    profiler.disable()
    after = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


async def load(port: int, path: str, body: bytes, connections: int, seconds: float) -> int:
    """Requests answered over so many connections, each of which always waits for its answer."""
    client = Client("127.0.0.1", port, connections=connections, expected=b"")
    request = post("localhost", path, body)
    outcomes = await client.closed_loop(itertools.repeat(request), connections, seconds)
    client.close()
    failures = {outcome.failure for outcome in outcomes} - {None}
    if failures:
        raise RuntimeError(f"{path}: {failures}")
    return len(outcomes)


def measure(path: str, body: object, options: argparse.Namespace) -> None:
    """Print requests per second, and processor time per request."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(there, options.profile))
    process.start()
    port = here.recv()
    encoded = json.dumps(body).encode()
    warm_up = uvloop.run(load(port, path, encoded, 4, 0.5))
    start = time.perf_counter()
    answered = uvloop.run(load(port, path, encoded, options.connections, options.seconds))
    seconds = time.perf_counter() - start
    here.send("end")
    processor = here.recv()
    process.join()
    shown = f"{path}{' stream' if isinstance(body, dict) and body.get('stream') else ''}"
    print(
        f"{shown:32} {answered / seconds:7.0f} requests/s   "
        f"{processor / (warm_up + answered) * 1e6:6.0f} µs of processor time each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--only", help="a path")
    options = parser.parse_args()
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    chat = {"model": "instant", "messages": messages, "temperature": 0, "max_tokens": 32}
    completion = {"model": "instant", "prompt": "The capital of France is", "max_tokens": 32}
    for path, body in (
        ("/v1/completions", completion),
        ("/v1/completions", completion | {"stream": True}),
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", chat | {"stream": True}),
        ("/v1/responses", {"model": "instant", "input": "What is the capital of France?"}),
        ("/v1/embeddings", {"model": "instant", "input": "What is it?"}),
        ("/tokenize", {"prompt": "What is it?"}),
    ):
        if options.only in (None, path):
            measure(path, body, options)


if __name__ == "__main__":
    main()
