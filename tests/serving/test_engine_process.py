"""An engine in a process: its answers are the engine's own, and nobody waits for one that died."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.engine.block_allocator import BlockAllocator
from groundup.engine.engine import Engine
from groundup.engine.generate import generate
from groundup.engine.request import Constraint, EngineStats, Request, Token
from groundup.engine.sampling_params import SamplingParams
from groundup.engine.speculation import Speculation
from groundup.engine.step_log import EngineView, SequenceRead, SequenceView, StepView
from groundup.errors import GroundupError
from groundup.models.load import LoadedModel, load_model
from groundup.serving.engine_messages import (
    Add,
    Cancel,
    Embed,
    EngineOptions,
    Frames,
    Look,
    Order,
    Ready,
    Refused,
    Report,
    Step,
    Vector,
    View,
    frame,
)
from groundup.serving.engine_process import EngineLostError, EngineProcess
from groundup.serving.engine_worker import Link, work

LONG = 60.0  # seconds: whoever waits longer waits for ever


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for its status yet, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition: Any, seconds: float = LONG) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@asynccontextmanager
async def process(model: str, **options: Any) -> AsyncIterator[EngineProcess]:
    async with asyncio.timeout(2 * LONG):
        engine = await EngineProcess.start(
            EngineOptions(model, dtype="float32", threads=1), **options
        )
        try:
            yield engine
        finally:
            await engine.close()


async def ids(stream: Any) -> list[int]:
    return [token.id async for tokens in stream for token in tokens]


# The messages


REQUEST = Request(
    (1, 2, 70_000),
    SamplingParams(0.5, 3, 0.9, 0.1, 1.1, 2**64 - 1, -0.5, 0.5, ((5, -100.0),)),
    7,
    frozenset({0, 2}),
    3,
    Constraint("regex", "a|é"),
)
MESSAGES: list[tuple[Any, Any]] = [
    (Add(1, REQUEST), Order),
    (Add(2, Request((1,))), Order),
    (Cancel(1), Order),
    (Embed(3, (1, 2)), Order),
    (Ready(100), Report),
    (
        Step(
            [(1, Token(5)), (2, Token(6, -0.25, ((6, -0.25), (7, -1.5)), "stop"))],
            EngineStats(running=2, kv_cache_usage=0.5),
        ),
        Report,
    ),
    (Refused(4, "no", mendable=True), Report),
    (Vector(5, b"\0\1"), Report),
    (Look(6), Order),
    (
        View(
            6,
            EngineView(
                4,
                16,
                [3],
                [SequenceView(1, True, 5, 7, 6, 0, [0, 2])],
                [StepView(1, 2.5, 0.5, [SequenceRead(1, 5, 5, 0)], [8], 1, 2, 3)],
            ),
        ),
        Report,
    ),
]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_frames_are_put_together_however_they_are_cut(cuts: list[int]) -> None:
    data = b"".join(frame(message) for message, _ in MESSAGES)
    frames, got, at = Frames(), [], 0
    for cut in [*cuts, len(data)]:
        got += frames.feed(data[at : at + cut])
        at += cut
    decoded = [
        msgspec.msgpack.decode(one, type=kind) for one, (_, kind) in zip(got, MESSAGES, strict=True)
    ]
    assert decoded == [message for message, _ in MESSAGES]


# The loop, over an engine that counts


class CountingEngine:
    """Answers each prompt with its first number and those that follow, one a step."""

    def __init__(self) -> None:
        self.scheduler: Any = type("", (), {"running": [], "waiting": [], "preemptions": 0})()
        self.scheduler.allocator = BlockAllocator(4)
        self.prompt_tokens = self.cached_tokens = 0
        self.speculation: Speculation | None = None
        self.answers: dict[int, list[int]] = {}
        self.may_step = threading.Semaphore(0)

    @property
    def busy(self) -> bool:
        return bool(self.answers)

    def add(self, key: int, request: Request) -> None:
        if request.prompt == (13,):
            raise KeyError("a defect")
        if not request.prompt:
            raise GroundupError("nothing to count from")
        self.answers[key] = [request.prompt[0], request.max_tokens or 0]

    def cancel(self, key: int) -> None:
        self.answers.pop(key, None)

    def step(self) -> list[tuple[int, Token]]:
        assert self.may_step.acquire(timeout=LONG)
        tokens = []
        for key, (number, left) in list(self.answers.items()):
            tokens.append((key, Token(number, finish_reason="length" if left == 1 else None)))
            self.answers[key] = [number + 1, left - 1]
            if left == 1:
                del self.answers[key]
        return tokens

    def embed(self, prompt: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor(prompt, dtype=torch.float32)

    def view(self) -> EngineView:
        return EngineView(4, 16, [], [], [])


class Server:
    """The other side of the loop."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = Frames()
        self.reports: list[Any] = []

    def order(self, *orders: Any) -> None:
        self.connection.sendall(b"".join(map(frame, orders)))

    def next(self) -> Any:
        while not self.reports:
            data = self.connection.recv(65_536)
            assert data, "the loop has ended"
            decoded = [msgspec.msgpack.decode(one, type=Report) for one in self.frames.feed(data)]
            self.reports += [one for one in decoded if type(one).__name__ != "Beat"]
        return self.reports.pop(0)


@pytest.fixture
def loop() -> Iterator[tuple[Server, CountingEngine]]:
    here, there = socket.socketpair()
    engine = CountingEngine()
    ends: list[BaseException] = []

    def run() -> None:
        try:
            work(link, engine)
        except ConnectionError as end:
            ends.append(end)

    link = Link(there)
    thread = threading.Thread(target=run)
    thread.start()
    here.settimeout(LONG)
    with closing(here), closing(there):
        yield Server(here), engine
        here.shutdown(socket.SHUT_RDWR)
        engine.may_step.release(100)
        thread.join(LONG)
    assert len(ends) == 1


def test_a_step_is_one_message_and_orders_come_between(
    loop: tuple[Server, CountingEngine],
) -> None:
    server, engine = loop
    server.order(Add(1, Request((10,), max_tokens=3)), Add(2, Request((20,), max_tokens=9)))
    engine.may_step.release()
    first = server.next()
    if len(first.tokens) == 1:  # the loop took up the first alone
        engine.may_step.release()
        first = server.next()
    assert [key for key, _ in first.tokens] == [1, 2]
    server.order(Cancel(2))
    time.sleep(0.05)
    engine.may_step.release(2)
    seen = [server.next().tokens for _ in range(2)]  # one step may have been on its way
    assert (2, Token(22)) not in seen[-1]
    assert 2 not in engine.answers


def test_one_bad_request_does_not_harm_the_others(
    loop: tuple[Server, CountingEngine], caplog: pytest.LogCaptureFixture
) -> None:
    server, engine = loop
    engine.may_step.release(100)
    server.order(
        Add(1, Request(())),
        Add(2, Request((13,), max_tokens=1)),
        Embed(3, (5, 6)),
        Add(4, Request((7,), max_tokens=1)),
    )
    reports = [server.next()]
    while not any(type(report) is Step and report.tokens for report in reports):
        reports.append(server.next())
    answers = [report for report in reports if type(report) is not Step]
    assert answers[0] == Refused(1, "nothing to count from", mendable=True)
    assert answers[1] == Refused(2, "'a defect'", mendable=False)
    assert answers[2] == Vector(3, torch.tensor([5.0, 6.0]).numpy().tobytes())
    assert reports[-1].tokens == [(4, Token(7, finish_reason="length"))]
    assert "KeyError" in caplog.text


# The process


@pytest.fixture(scope="module")
def loaded(tiny_model: str) -> LoadedModel:
    return load_model(tiny_model, torch.float32)


async def test_its_answers_are_the_engines(tiny_model: str, loaded: LoadedModel) -> None:
    prompts = [tuple(range(n, 3 * n)) for n in (1, 7, 20, 40)]
    greedy = SamplingParams()
    expected = [list(generate(loaded.model, each, greedy, max_tokens=12)) for each in prompts]
    async with process(tiny_model) as engine:
        assert engine.context == loaded.model.config.context
        streams = [engine.generate(Request(prompt, max_tokens=12)) for prompt in prompts]
        assert engine.outstanding == 4
        assert await asyncio.gather(*map(ids, streams)) == expected
        assert engine.outstanding == 0
        # The whole of a request and of a token crosses over.
        date = Constraint("regex", r"\d{4}-\d{2}")
        answer = await ids(engine.generate(Request((1,), constraint=date, max_tokens=30,
                                           stop_ids=loaded.tokenizer.eos_ids)))  # fmt: skip
        assert [len(n) for n in loaded.tokenizer.decode(answer[:-1]).split("-")] == [4, 2]
        [token] = await anext(engine.generate(Request((1,), max_tokens=1, logprobs=2)))
        assert token.logprob == token.top_logprobs[0][1]
        assert token.finish_reason == "length"
        sampled = Request((5,), SamplingParams(temperature=2, seed=3), max_tokens=12)
        assert await ids(engine.generate(sampled)) == list(
            generate(loaded.model, (5,), sampled.params, max_tokens=12)
        )
        vector = await engine.embed(prompts[2])
        own = Engine(loaded.model).embed(prompts[2]).numpy()
        assert vector == pytest.approx(own, abs=1e-5)
        for bad in (engine.generate(Request(())), engine.generate(Request((1,) * 9000))):
            with pytest.raises(GroundupError):
                await anext(bad)
        with pytest.raises(GroundupError, match="got 9000"):
            await engine.embed((1,) * 9000)
        # What is cancelled is freed, and what it was still to say comes to nobody.
        cancelled = engine.generate(Request((1, 2, 3)))
        await anext(cancelled)
        await cancelled.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(cancelled)
        assert engine.outstanding == 0
        for _ in range(500):
            if engine.stats["running"] == 0 and engine.stats["kv_cache_usage"] == 0:
                break
            await asyncio.sleep(0.01)
        assert engine.stats["kv_cache_usage"] == 0
        waiting = asyncio.create_task(engine.embed((1,) * 8000))
        left = engine.generate(Request((1, 2, 3)))
        await asyncio.sleep(0)
    for lost in (waiting, anext(left), anext(engine.generate(Request((1,)))), engine.embed((1,))):
        with pytest.raises(EngineLostError):
            await lost
    assert gone(engine.pid)
    await engine.close()  # once more does no harm


async def test_drafts_are_made_and_counted(tiny_model: str, loaded: LoadedModel) -> None:
    prompt = (3, 4, 5, 6, 3, 4, 5)
    expected = list(generate(loaded.model, prompt, SamplingParams(), max_tokens=20))
    options = EngineOptions(
        tiny_model, dtype="float32", threads=1, speculate=tiny_model, draft_tokens=4
    )
    async with asyncio.timeout(2 * LONG):
        engine = await EngineProcess.start(options)
        try:
            pieces = [tokens async for tokens in engine.generate(Request(prompt, max_tokens=20))]
            assert [token.id for tokens in pieces for token in tokens] == expected
            assert len(pieces) <= 5
            stats = engine.stats
        finally:
            await engine.close()
    # A model that drafts for itself is always right: 4 tokens, and one that it chooses then.
    assert (stats["drafts"], stats["drafted_tokens"], stats["accepted_tokens"]) == (4, 16, 16)


async def test_a_process_that_hangs_is_given_up(tiny_model: str) -> None:
    async with process(tiny_model, patience=2) as engine:
        await asyncio.sleep(3.5)  # one that has nothing to do does not hang
        assert engine.alive()
        stream = engine.generate(Request((1, 2, 3)))
        await anext(stream)
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineLostError):
            await asyncio.wait_for(ids(stream), LONG)
        assert not engine.alive()
        assert await engine.ended() == -signal.SIGKILL


async def test_it_can_be_looked_into_while_it_answers(tiny_model: str) -> None:
    async with process(tiny_model) as engine:
        assert (await engine.view()).steps == []  # not those that warmed it up
        stream = engine.generate(Request((1, 2, 3) * 20, max_tokens=500))
        await anext(stream)
        view = await engine.view()
        (sequence,) = view.sequences
        assert sequence.running
        assert sequence.prompt == 60
        assert view.steps[0].reads == [SequenceRead(sequence.sequence, 60, 60, 0)]
        assert engine.outstanding == 1
        os.kill(engine.pid, signal.SIGSTOP)
        lost = asyncio.create_task(engine.view())
        await asyncio.sleep(0.05)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineLostError):
            await asyncio.wait_for(lost, LONG)
        with pytest.raises(EngineLostError):
            await engine.view()


async def test_a_process_that_dies_is_noticed_at_once(tiny_model: str) -> None:
    # No look comes into it: only the socket's end can be what tells.
    async with process(tiny_model, patience=10_000) as engine:
        waiting = [asyncio.create_task(ids(engine.generate(Request((i,))))) for i in range(5)]
        vector = asyncio.create_task(engine.embed((1,) * 8000))
        await asyncio.sleep(0.05)
        os.kill(engine.pid, signal.SIGKILL)
        for lost in (*waiting, vector):
            with pytest.raises(EngineLostError):
                await asyncio.wait_for(lost, LONG)
        assert await engine.ended() == -signal.SIGKILL
        assert engine.outstanding == 0


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        (("-c", "import sys; sys.exit(5)"), EngineLostError, "status 5 before it was ready"),
        (("-c", "import os; os.kill(os.getpid(), 9)"), EngineLostError, "signal 9"),
        (("-m", "groundup.serving.engine_worker"), GroundupError, "there is no /nowhere.gguf"),
    ],
)
async def test_a_process_that_does_not_start(command: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        await EngineProcess.start(EngineOptions("/nowhere.gguf"), command=command)


ORPHAN = """
import asyncio, sys
from groundup.engine.request import Request
from groundup.serving.engine_messages import EngineOptions
from groundup.serving.engine_process import EngineProcess

async def main():
    engine = await EngineProcess.start(EngineOptions(sys.argv[1], threads=1))
    busy = await EngineProcess.start(EngineOptions(sys.argv[1], threads=1))
    streams = [busy.generate(Request((i,))) for i in range(5)]
    print(engine.pid, busy.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_it_ends_with_its_parent(tiny_model: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, tiny_model], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        idle, busy = map(int, parent.stdout.readline().split())
        assert not gone(idle)
        assert not gone(busy)
        parent.kill()
    wait_for(lambda: gone(idle) and gone(busy))
