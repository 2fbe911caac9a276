"""How many requests one server process answers when prompts repeat and answers are kept.

Prompts are drawn from ``--prompts`` different ones by Zipf's law: the k-th is asked for with a
probability of 1 / k**s. What was not asked before is computed by an engine that answers 8 tokens
at once, so what is measured is the HTTP interface with its cache: one process, one event loop. The
load comes from another process over keep-alive connections, each of which waits for its answer.

A run begins with requests that are not measured, which fill the cache. Processor time tells what a
request costs, whatever else the machine does.

    python -m benchmarks.serving_cache [--requests 50000] [--warm-up 50000] [--connections 32]
        [--prompts 10000] [--s 1.1]
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from benchmarks.http_client import Client, post
from benchmarks.serving import InstantEngine
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.api_keys import ApiKey, digest_of, write_keys
from groundup.serving.app import create_app
from groundup.serving.budget_ledger import BudgetLedger
from groundup.serving.budgets import Budgets
from groundup.serving.callers import Callers
from groundup.serving.intake import IntakeSettings
from groundup.serving.response_cache import ResponseCache
from groundup.serving.server import Server, ServerSettings, listen
from groundup.serving.service import Service
from groundup.tokenizers.from_gguf import tokenizer_from_gguf

KEY = "benchmark"


def callers(folder: Path) -> Callers:
    """One key, with every limit and budget, none of which is reached."""
    path = folder / "keys.toml"
    much = 10**12
    write_keys(path, {"key": ApiKey(digest_of(KEY.encode()), much, much, much, much)})
    return Callers(file=path, budgets=Budgets(BudgetLedger(folder / "budgets.sqlite")))


def serve(pipe: Connection, cached: bool, keyed: bool) -> None:
    """Report processor seconds and the cache's counts whenever asked, until told to end."""
    tokenizer = tokenizer_from_gguf(read_gguf(fetch("smollm2-135m-instruct")).metadata)
    cache = AnswerCache(ResponseCache(max_bytes=2**28, ttl=3600)) if cached else None
    with tempfile.TemporaryDirectory() as folder:
        service = Service(
            InstantEngine(tokenizer),
            IntakeSettings(places=1024),
            callers(Path(folder)) if keyed else None,
            cache,
        )
        server = Server(create_app(service), service, ServerSettings(drain_deadline=1))
        listener = listen("127.0.0.1", 0)

        async def run() -> None:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            pipe.send(listener.getsockname()[1])
            while True:
                while not pipe.poll():
                    await asyncio.sleep(0.05)
                if pipe.recv() == "end":
                    break
                pipe.send((time.process_time(), cache.lookups["hit"] if cache is not None else 0))
            server.should_exit = True
            await serving

        uvloop.run(run())


def zipf(n: int, s: float, rng: random.Random) -> Iterator[int]:
    """Numbers from 0 to n - 1, the k-th with a probability of 1 / (k + 1)**s."""
    weights = list(accumulate((k + 1) ** -s for k in range(n)))
    while True:
        yield from rng.choices(range(n), cum_weights=weights, k=4096)


def requests(n: int, stream: bool, keyed: bool) -> list[bytes]:
    """One request for each prompt, as it goes over the wire."""
    made = []
    for i in range(n):
        question = f"Question {i}: what is the capital of the country with that number?"
        messages = [{"role": "user", "content": question}]
        fields = {"model": "instant", "messages": messages, "temperature": 0, "max_tokens": 16}
        body = json.dumps(fields | ({"stream": True} if stream else {})).encode()
        request = post("localhost", "/v1/chat/completions", body)
        if keyed:
            key = f"\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()
            request = request.replace(b"\r\n\r\n", key, 1)
        made.append(request)
    return made


async def load(
    port: int, made: Sequence[bytes], order: Iterator[int], connections: int, n: int
) -> list[float]:
    """The latencies of n requests, in seconds. Raises: RuntimeError, if one fails."""
    client = Client("127.0.0.1", port, connections=connections, expected=b"finish_reason")
    sent = (made[next(order)] for _ in range(n))
    outcomes = await client.closed_loop(sent, connections, math.inf)
    client.close()
    if failures := {outcome.failure for outcome in outcomes} - {None}:
        raise RuntimeError(f"requests failed: {failures}")
    return [outcome.end - outcome.intended for outcome in outcomes]


@contextmanager
def server(cached: bool, keyed: bool) -> Iterator[tuple[int, Connection]]:
    """Its port, and the pipe to it."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, cached, keyed)
    )
    process.start()
    yield here.recv(), here
    here.send("end")
    process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--warm-up", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--s", type=float, default=1.1)
    options = parser.parse_args()
    print(
        f"{options.prompts:,} prompts, Zipf {options.s:g}, {options.connections} connections, "
        f"{options.requests:,} requests after {options.warm_up:,}"
    )
    for cached, stream, keyed in (
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, False, True),
    ):
        made = requests(options.prompts, stream, keyed)
        order = zipf(options.prompts, options.s, random.Random(0))
        with server(cached, keyed) as (port, pipe):
            ask = partial(load, port, made, order, options.connections)
            uvloop.run(ask(options.warm_up if cached else 500))
            pipe.send("report")
            before, hits_before = pipe.recv()
            begin, client = time.perf_counter(), time.process_time()
            latencies = uvloop.run(ask(options.requests if cached else options.requests // 20))
            seconds, client = time.perf_counter() - begin, time.process_time() - client
            pipe.send("report")
            after, hits_after = pipe.recv()
        answered = len(latencies)
        processor = after - before
        hits = f"{(hits_after - hits_before) / answered:4.0%} hits" if cached else "no cache "
        p50, p99 = (statistics.quantiles(latencies, n=100)[i] * 1000 for i in (49, 98))
        print(
            f"{hits}  {'stream' if stream else 'whole '}  {'a key ' if keyed else 'no key'} "
            f"{answered / seconds:7.0f} requests/s  p50 {p50:5.1f} ms  p99 {p99:5.1f} ms  "
            f"processor time each: server {processor / answered * 1e6:4.0f} µs, "
            f"client {client / answered * 1e6:3.0f} µs"
        )


if __name__ == "__main__":
    main()
