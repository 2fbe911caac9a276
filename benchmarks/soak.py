"""Whether a server is as it was after long and rude use: nothing held, no memory lost.

Starts `groundup serve` and asks it many things at once, for a while: answers, streams, streams that
their clients leave, bodies that are wrong, prompts that are too long, and clients that never finish
their request. Then nothing may be left: no request, no KV block, no connection; and the memory of
each process is compared with that after the first quarter.

    python -m benchmarks.soak [--seconds 600] [--model smollm2-135m-instruct] [--replicas 2]
"""

import argparse
import asyncio
import collections
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from groundup.serving.server import listen

LIMIT = 120.0  # seconds: what takes longer hangs
CLIENTS = 24
REST = (
    "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
    "groundup:replica_outstanding",
)  # fmt: skip


@dataclass
class Soaked:
    """What became of it."""

    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)  # answers other than those expected
    held: list[str] = field(default_factory=list)  # what was not given back
    grown: dict[int, int] = field(default_factory=dict)  # bytes, by process


class Client:
    """Asks one thing after another, each on a connection of its own."""

    def __init__(self, port: int, model: str, seed: int, soaked: Soaked) -> None:
        self.port, self.model, self.soaked = port, model, soaked
        self.random = random.Random(seed)

    async def ask(self, body: object, *, leave_after: int | None = None) -> bytes:
        """The answer, or as many bytes of it as were waited for."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(encoded), encoded)
            )
            return await (reader.read() if leave_after is None else reader.read(leave_after))
        finally:
            writer.transport.abort()

    def body(self, **more: object) -> dict[str, object]:
        prompt = [self.random.randrange(1000) for _ in range(self.random.randrange(1, 100))]
        return {"model": self.model, "prompt": prompt, "ignore_eos": True} | more

    async def answer(self) -> None:
        got = await self.ask(self.body(max_tokens=self.random.randrange(1, 30)))
        self.expect("answer", got, b"HTTP/1.1 200", b'"usage"')

    async def stream(self) -> None:
        got = await self.ask(self.body(max_tokens=self.random.randrange(1, 30), stream=True))
        self.expect("stream", got, b"HTTP/1.1 200", b"[DONE]")

    async def leave(self) -> None:
        stream = self.random.random() < 0.7
        await self.ask(self.body(max_tokens=2000, stream=stream), leave_after=100 if stream else 0)
        self.soaked.answers["left"] += 1

    async def wrong(self) -> None:
        bodies: tuple[object, ...] = (
            b"{", b"\xff\xfe", b"[" * 5000, self.body(max_tokens=-1), self.body(temperature="hot"),
            self.body(max_tokens=5, prompt=""),
        )  # fmt: skip
        self.expect("wrong", await self.ask(self.random.choice(bodies)), b"HTTP/1.1 400")

    async def too_long(self) -> None:
        got = await self.ask(self.body(prompt=[1] * 200_000))
        self.expect("too long", got, b"HTTP/1.1 400", b"error")

    async def dawdle(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for byte in b"POST /v1/"[: self.random.randrange(1, 9)]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        writer.transport.abort()
        self.soaked.answers["dawdled"] += 1

    def expect(self, kind: str, got: bytes, *parts: bytes) -> None:
        self.soaked.answers[kind] += 1
        if not all(part in got for part in parts):
            self.soaked.wrong.append(f"{kind}: {got[:200]!r}")

    async def run(self, seconds: float) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.answer, self.answer, self.stream, self.stream, self.leave, self.wrong,
            self.too_long, self.dawdle,
        ]  # fmt: skip
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            async with asyncio.timeout(LIMIT):
                await self.random.choice(kinds)()


async def figures(port: int) -> dict[str, float]:
    """The server's, with their labels in their names."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    lines = [line.rsplit(" ", 1) for line in text.split("\r\n\r\n", 1)[1].splitlines()]
    return {name: float(value) for name, value in lines if name.startswith(("vllm:", "groundup:"))}


async def rest(port: int, pid: int, connections: int) -> list[str]:
    """Wait until nothing is held; what still is when the time is over."""
    held: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT / 2):
            while True:
                now = await figures(port)
                held = [f"{k} {v}" for k, v in now.items() if k.startswith(REST) and v]
                if (left := open_files(pid)) > connections:
                    held.append(f"{left - connections} open files")
                if not held:
                    break
                await asyncio.sleep(0.2)
    return held


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory(pid: int) -> int:
    """Bytes of it that are in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


async def soak(port: int, pid: int, model: str, seconds: float) -> Soaked:
    """Use the server of this process; it must be ready."""
    soaked = Soaked()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    processes = [pid, *map(int, children)]
    await figures(port)
    files = open_files(pid)
    clients = [Client(port, model, seed, soaked) for seed in range(CLIENTS)]
    await asyncio.gather(*(client.run(seconds / 4) for client in clients))
    soaked.held += await rest(port, pid, files)
    before = {process: memory(process) for process in processes}
    await asyncio.gather(*(client.run(seconds * 3 / 4) for client in clients))
    soaked.held += await rest(port, pid, files)
    soaked.grown = {process: memory(process) - before[process] for process in processes}
    return soaked


async def serve_and_soak(model: str, replicas: int, seconds: float) -> Soaked:
    """The same, on a server of its own."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "groundup", "serve", "--model", model, "--port", str(port)]
    server = subprocess.Popen([*command, "--replicas", str(replicas)])
    try:
        async with asyncio.timeout(2 * LIMIT):
            while True:
                assert server.poll() is None, "the server has ended"
                with suppress(OSError):
                    await figures(port)
                    break
                await asyncio.sleep(0.2)
        return await soak(port, server.pid, model, seconds)
    finally:
        server.terminate()
        try:
            await asyncio.to_thread(server.wait, LIMIT)
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--replicas", type=int, default=2)
    options = parser.parse_args()
    soaked = asyncio.run(serve_and_soak(options.model, options.replicas, options.seconds))
    print(dict(soaked.answers))
    print(f"answers other than expected: {soaked.wrong[:5] or 'none'}")
    print(f"held: {soaked.held or 'nothing'}")
    print("memory since the first quarter:", end=" ")
    print(", ".join(f"{grown / 2**20:+.1f} MiB" for grown in soaked.grown.values()))


if __name__ == "__main__":
    main()
