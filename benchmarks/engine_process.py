"""What it costs that the engine is a process of its own: its messages, without a model or HTTP.

An engine that computes nothing gives each of its requests one token a step, at most 64 of them at a
time. Requests of 16 tokens in, 16 out; processor time of both sides for each, which tells what they
cost whatever else the machine does. ``--here`` runs the same steps without a boundary.

    python -m benchmarks.engine_process [--requests 20000] [--outstanding 128] [--here]
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import uvloop
from torch import Tensor

from groundup.engine.request import Request, Token
from groundup.engine.scheduler import Scheduler
from groundup.engine.speculation import Speculation
from groundup.engine.step_log import EngineView
from groundup.serving.engine_messages import EngineOptions
from groundup.serving.engine_process import EngineProcess
from groundup.serving.engine_worker import main as work

BATCH = 64
TOKENS = 16


@dataclass
class EmptyEngine:
    """Counts, and computes nothing."""

    scheduler: Scheduler = field(
        default_factory=lambda: Scheduler(1024, 16, token_budget=512, max_sequences=BATCH)
    )
    prompt_tokens: int = 0
    cached_tokens: int = 0
    speculation: Speculation | None = None
    answers: dict[int, int] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        return bool(self.answers)

    def add(self, key: int, request: Request) -> None:
        self.answers[key] = request.max_tokens or 1

    def cancel(self, key: int) -> None:
        self.answers.pop(key, None)

    def step(self) -> list[tuple[int, Token]]:
        tokens = []
        for key in list(self.answers)[:BATCH]:
            left = self.answers[key] = self.answers[key] - 1
            if left:
                tokens.append((key, Token(1000 + left)))
            else:
                tokens.append((key, Token(1000, finish_reason="length")))
                del self.answers[key]
        return tokens

    def embed(self, prompt: tuple[int, ...]) -> Tensor:
        return torch.zeros(1)

    def view(self) -> EngineView:
        return EngineView(0, 16, [], [], [])


def processor(pid: int) -> float:
    """Seconds that a process has used, to a hundredth."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def own_processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def ask_all(engine: EngineProcess, requests: Iterator[Request]) -> None:
    for request in requests:
        async for _ in engine.generate(request):
            pass


async def across(count: int, outstanding: int) -> None:
    """Through a process."""
    command = (str(Path(__file__)), "--worker")
    engine = await EngineProcess.start(EngineOptions("none"), command=command)
    try:
        await asyncio.gather(*(ask_all(engine, requests(500)) for _ in range(4)))  # warm
        here, there, start = own_processor(), processor(engine.pid), time.perf_counter()
        shared = requests(count)
        await asyncio.gather(*(ask_all(engine, shared) for _ in range(outstanding)))
        seconds = time.perf_counter() - start
        here, there = own_processor() - here, processor(engine.pid) - there
    finally:
        await engine.close()
    print(
        f"{count / seconds:.0f} requests/s; processor time of each: {here / count * 1e6:.0f} µs "
        f"of the server's, {there / count * 1e6:.0f} µs of the engine's"
    )


def without(count: int) -> None:
    """The steps alone."""
    engine, before, asked = EmptyEngine(), own_processor(), requests(count)
    for key, request in enumerate(asked):
        engine.add(key, request)
        while len(engine.answers) == BATCH:
            engine.step()
    while engine.busy:
        engine.step()
    print(f"the steps alone: {(own_processor() - before) / count * 1e6:.0f} µs a request")


def requests(count: int) -> Iterator[Request]:
    return (Request(tuple(range(i, i + TOKENS)), max_tokens=TOKENS) for i in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--outstanding", type=int, default=128)
    parser.add_argument("--here", action="store_true")
    options = parser.parse_args()
    if options.here:
        without(options.requests)
    else:
        uvloop.run(across(options.requests, options.outstanding))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        del sys.argv[1]
        work(lambda _: (EmptyEngine(), 8192))
    else:
        main()
