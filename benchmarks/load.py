"""Load for any OpenAI-compatible server: Poisson arrivals at given rates, and given concurrencies.

Sends completions with prompts of exactly 16 tokens, greedy, and waits for all of each. Without
--url it makes `small_model` and starts `groundup serve` on it; what follows `--` goes to it.
Latency counts from the intended time. The generator states its own processor time.

    python -m benchmarks.load [--rates 250,500,1000] [--concurrency 1,32,256] [--seconds 10]
        [--prompts 0] [--stream] [--url http://127.0.0.1:8000 --folder FOLDER] [-- --replicas 2]
"""

import argparse
import itertools
import json
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.http_client import Client, Outcome, post
from benchmarks.small_model import write_small_model
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.tokenizer import Tokenizer


def single_words(tokenizer: Tokenizer) -> list[str]:
    """The texts, a space and letters, that are one token each and stay so beside others."""
    words = map(tokenizer.decode, ([token_id] for token_id in range(tokenizer.size)))
    return [
        word for word in words
        if word[:1] == " " and word[1:].isascii() and word[1:].isalpha()
        and len(tokenizer.encode(word)) == 1
    ]  # fmt: skip


class Requests:
    """Endless requests for completions, with prompts of ``length`` tokens each.

    ``distinct`` 0 draws each prompt anew; else there are so many, drawn by Zipf's law: the k-th
    most frequent one as often as 1/k.
    """

    def __init__(
        self, words: list[str], host: str, model: str, *, length: int, new: int, distinct: int,
        stream: bool,
    ) -> None:  # fmt: skip
        self._words = np.array(words)
        self._length = length
        self._distinct = distinct
        self._random = np.random.default_rng()  # no two runs send the same: a server may remember
        body = json.dumps(
            {"model": model, "max_tokens": new, "temperature": 0, "ignore_eos": True}
            | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})
            | {"prompt": "@"}
        )
        self._before, self._after = body.encode().split(b"@")
        self._host = host

    def __iter__(self) -> Iterator[bytes]:
        if not self._distinct:
            while True:
                yield from self._drawn(1000)
        prompts = list(self._drawn(self._distinct))
        frequencies = 1 / np.arange(1, self._distinct + 1)
        while True:
            for k in self._random.choice(self._distinct, 1000, p=frequencies / frequencies.sum()):
                yield prompts[k]

    def _drawn(self, count: int) -> Iterator[bytes]:
        for words in self._random.choice(self._words, (count, self._length)):
            prompt = "".join(words).encode()
            yield post(self._host, "/v1/completions", self._before + prompt + self._after)


def report(
    name: str, outcomes: list[Outcome], start: float, processor: float, stream: bool
) -> None:
    good = [outcome for outcome in outcomes if outcome.failure is None]
    failures = Counter(outcome.failure for outcome in outcomes if outcome.failure is not None)
    line = f"{name:22}"
    if good:
        seconds = max(outcome.end for outcome in outcomes) - start
        line += f"{len(good) / seconds:8.0f} requests/s   latency"
        line += quantiles([outcome.end - outcome.intended for outcome in good])
        if stream:
            line += "   first token" + quantiles([o.first - o.intended for o in good])
        line += f"   client {processor / len(outcomes) * 1e6:.0f} µs each"
    line += f"   {len(good)} answered"
    line += "".join(f", {count} {kind}" for kind, count in failures.most_common()) or ", 0 failed"
    print(line, flush=True)


def quantiles(seconds: list[float]) -> str:
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99]) * 1e3
    return f" p50 {p50:.0f} p90 {p90:.0f} p99 {p99:.0f} ms"


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(requests: Requests, host: str, port: int, options: argparse.Namespace) -> None:
    client = Client(
        host, port, connections=options.connections, deadline=options.deadline,
        expected=b'"completion_tokens":%d' % options.new,
    )  # fmt: skip
    unsent = iter(requests)
    await client.closed_loop(unsent, 32, 1)  # warms up
    rounds: list[tuple[str, float, int]] = [
        *((f"{rate:g} a second", rate, 0) for rate in options.rates),
        *((f"{number} at a time", 0, number) for number in options.concurrency),
    ]
    for name, rate, concurrency in rounds:
        # Made before, so that making them does not delay what is sent.
        made = list(itertools.islice(unsent, int((rate or 3000) * options.seconds)))
        before, start = processor_seconds(), perf_counter()
        if rate:
            # A Poisson process, given how many arrive in that time.
            arrivals = np.sort(np.random.default_rng().uniform(0, options.seconds, len(made)))
            outcomes = await client.open_loop(made, arrivals.tolist())
        else:
            outcomes = await client.closed_loop(
                itertools.chain(made, unsent), concurrency, options.seconds
            )
        report(name, outcomes, start, processor_seconds() - before, options.stream)
    client.close()


@contextmanager
def served(folder: Path, arguments: list[str]) -> Iterator[str]:
    """`groundup serve` on a free port; gives its URL."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", "serve", "--model", folder, "--port", str(port),
         *arguments]
    )  # fmt: skip
    try:
        give_up = time.monotonic() + 180
        while not answers(f"{url}/ready"):
            if process.poll() is not None or time.monotonic() > give_up:
                raise SystemExit("groundup serve did not start: see above")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def run(url: str, folder: Path, options: argparse.Namespace) -> None:
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
        model = json.load(answer)["data"][0]["id"]
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme != "http":
        raise SystemExit(f"--url must be like http://127.0.0.1:8000, got {url!r}")
    requests = Requests(
        single_words(tokenizer_from_folder(folder)), parts.netloc, model,
        length=options.length, new=options.new, distinct=options.prompts, stream=options.stream,
    )  # fmt: skip
    prompts = f"{options.prompts} prompts by Zipf's law" if options.prompts else "unique prompts"
    print(
        f"{model}: {prompts}, {options.length} tokens in, {options.new} out"
        f"{', streamed' if options.stream else ''}, up to {options.connections} connections"
    )
    uvloop.run(measure(requests, parts.hostname, parts.port or 80, options))


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", type=numbers, default=[250, 500, 1000], help="requests/s")
    parser.add_argument("--concurrency", type=numbers, default=[1, 32, 256])
    parser.add_argument("--seconds", type=float, default=10, help="of each of them")
    parser.add_argument("--connections", type=int, default=512, help="at most")
    parser.add_argument("--deadline", type=float, default=30, help="seconds for an answer")
    parser.add_argument("--prompts", type=int, default=0, help="distinct ones; 0: all are")
    parser.add_argument("--length", type=int, default=16, help="tokens in")
    parser.add_argument("--new", type=int, default=16, help="tokens out")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--url", help="of a server that runs already")
    parser.add_argument("--folder", type=Path, help="the served model's, for its words")
    parser.add_argument("serve", nargs="*", help="after --, arguments for groundup serve")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and the server ends with us
    if options.url and not options.folder:
        parser.error("--url needs the --folder of the model served there")
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made, "small")
        if options.folder is None:
            write_small_model(folder)
        if options.url:
            run(options.url.rstrip("/"), folder, options)
        else:
            with served(folder, options.serve) as url:
                run(url, folder, options)


if __name__ == "__main__":
    main()
