"""A clock that tests move, Redis, a scripted engine over a tokenizer of bytes, its servers."""

import asyncio
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import openai
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from numpy.typing import NDArray
from opentelemetry.trace import Tracer
from redis.asyncio import Redis
from starlette.types import ASGIApp

from groundup.course.grader.clock import Clock
from groundup.engine.request import EngineStats, FinishReason, Request, Token
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.app import create_app
from groundup.serving.callers import Callers
from groundup.serving.engine_interface import AsyncEngine
from groundup.serving.intake import Intake, IntakeSettings
from groundup.serving.server import Server, ServerSettings, listen
from groundup.serving.service import Service
from groundup.tokenizers.added_tokens import AddedToken
from groundup.tokenizers.byte_level_model import byte_level_model
from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.chat_template import ChatTemplate
from groundup.tokenizers.pre_tokenization import Splitter, pattern_step
from groundup.tokenizers.tokenizer import Tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
START, END = 256, 257


def byte_tokenizer(template: str = CHATML) -> Tokenizer:
    """Ids are bytes; 256 begins and 257 ends a message."""
    return Tokenizer(
        byte_level_model({character: byte for byte, character in byte_alphabet().items()}, []),
        Splitter([pattern_step(r"\S+|\s+")]),
        added=[
            AddedToken(START, "<|im_start|>", special=True),
            AddedToken(END, "<|im_end|>", special=True),
        ],
        chat_template=ChatTemplate(template),
    )


class ScriptedEngine:
    """Says ``text``, a byte at a time, and records what it was asked.

    ``texts`` gives each next request another text. ``refusal`` is raised before the first token,
    ``failure`` after ``failure_after`` tokens; ``hang_after`` tokens it waits for ever.
    """

    def __init__(self, context: int = 4000, template: str = CHATML) -> None:
        self.model_name = "scripted"
        self.adapters: dict[str, str] = {}
        self.context = context
        self.tokenizer = byte_tokenizer(template)
        self.reset()

    def reset(self) -> None:
        self.text: str | bytes = "Hello, world!"
        self.texts: list[str] = []
        self.delay = 0.0
        self.tokens_per_step = 1
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.failure_after = 0
        self.hang_after: int | None = None
        self.last_reason: FinishReason | None = "stop"
        self.is_ready = True
        self.figures: EngineStats = {}
        self.requests: list[Request] = []
        self.streams: list[AsyncGenerator[list[Token]]] = []  # or forgetting one would close it
        self.open = 0
        self.closed = 0

    def generate(self, request: Request) -> AsyncGenerator[list[Token]]:
        stream = self._answer(request)
        self.streams.append(stream)
        return stream

    async def _answer(self, request: Request) -> AsyncGenerator[list[Token]]:
        self.requests.append(request)
        text = self.texts.pop(0) if self.texts else self.text
        if self.refusal is not None:
            raise self.refusal
        self.open += 1
        try:
            for step in self.steps(request, text):
                yield step
                if self.delay:
                    await asyncio.sleep(self.delay)
        except Hang:
            await asyncio.sleep(1000)
        finally:
            self.open -= 1
            self.closed += 1

    def steps(self, request: Request, text: str | bytes) -> Iterator[list[Token]]:
        ids: list[int] = list(text.encode() if isinstance(text, str) else text)
        tokens = [self.token(request, i) for i in ids]
        if END in request.stop_ids:
            tokens.append(self.token(request, END, self.last_reason))
        else:
            tokens[-1] = self.token(request, ids[-1], self.last_reason)
        limit = request.max_tokens
        if limit is not None and len(tokens) > limit:
            tokens = tokens[:limit]
            tokens[-1] = self.token(request, tokens[-1].id, "length")
        given = 0
        while given < len(tokens):
            if self.failure is not None and given >= self.failure_after:
                raise self.failure
            if self.hang_after is not None and given >= self.hang_after:
                raise Hang
            yield tokens[given : given + self.tokens_per_step]
            given += self.tokens_per_step

    def token(self, request: Request, i: int, reason: FinishReason | None = None) -> Token:
        if request.logprobs is None:
            return Token(i, finish_reason=reason)
        top = tuple(((i + k) % 256, -0.5 - k) for k in range(request.logprobs))
        return Token(i, -0.5, top, reason)

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        if self.refusal is not None:
            raise self.refusal
        return np.array([[len(p), sum(p) / 7, -0.25] for p in prompts], np.float32)

    def ready(self) -> bool:
        return self.is_ready

    def stats(self) -> EngineStats:
        return self.figures


class Hang(Exception):  # noqa: N818  it is none
    pass


class Running:
    """A server in a thread."""

    def __init__(self, engine: AsyncEngine, server: Server, service: Service, port: int) -> None:
        self.engine, self.server, self.service, self.port = engine, server, service, port
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def run_app(
    app: ASGIApp, intake: Intake, settings: ServerSettings | None = None
) -> Iterator[tuple[Server, int]]:
    """The server, and its port."""
    server = Server(app, intake, settings or ServerSettings(drain_deadline=0.2))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def run_server(
    engine: AsyncEngine,
    settings: IntakeSettings | None = None,
    server_settings: ServerSettings | None = None,
    callers: Callers | None = None,
    cache: AnswerCache | None = None,
    tracer: Tracer | None = None,
) -> Iterator[Running]:
    service = Service(engine, settings or IntakeSettings(), callers, cache)
    with run_app(create_app(service, tracer), service, server_settings) as (server, port):
        yield Running(engine, server, service, port)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool]], None]:
    return wait_until


@pytest.fixture(name="run_server")
def run_server_fixture() -> Callable[..., AbstractContextManager[Running]]:
    return run_server


@pytest.fixture(name="run_app")
def run_app_fixture() -> Callable[..., AbstractContextManager[tuple[Server, int]]]:
    return run_app


@pytest.fixture(scope="session")
def shared() -> Iterator[Running]:
    with run_server(ScriptedEngine()) as running:
        yield running


@pytest.fixture
def running(shared: Running) -> Running:
    """A server over a scripted engine that is as new."""
    engine = shared.engine
    assert isinstance(engine, ScriptedEngine)
    wait_until(lambda: not shared.service.in_flight)  # what clients of the last test have left
    engine.reset()
    return shared


@pytest.fixture
def engine(running: Running) -> ScriptedEngine:
    assert isinstance(running.engine, ScriptedEngine)
    return running.engine


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(name="new_engine")
def new_engine_fixture() -> Callable[..., ScriptedEngine]:
    return ScriptedEngine


@pytest.fixture(scope="session")
def scripted_engine_class() -> type[ScriptedEngine]:
    return ScriptedEngine


@pytest.fixture(scope="module")
def module_server() -> Callable[..., AbstractContextManager[Running]]:
    return run_server


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The socket of a real server, on no port."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="gu-redis-"))
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--save", "", "--dir", str(folder)]
    command += ["--unixsocket", str(socket)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(500):
        if socket.exists():
            break
        time.sleep(0.02)
    yield str(socket)
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


@pytest.fixture(params=["fake", "real"])
def new_redis(request: pytest.FixtureRequest) -> Callable[[], Redis]:
    """Makes clients of one empty Redis. A client belongs to the event loop it is made in."""
    if request.param == "fake":
        server = FakeServer()
        return lambda: FakeAsyncRedis(server=server)
    socket = request.getfixturevalue("redis_server")

    async def empty() -> None:
        client = Redis(unix_socket_path=socket)
        await client.flushall()
        await client.aclose()

    asyncio.run(empty())
    return lambda: Redis(unix_socket_path=socket)
