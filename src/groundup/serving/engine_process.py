"""An engine in a process of its own, so that the server and other engines run beside it."""

import asyncio
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from groundup.engine.request import EngineStats, Request, Token
from groundup.engine.step_log import EngineView
from groundup.errors import GroundupError
from groundup.serving.api_error import ApiError
from groundup.serving.engine_messages import (
    Add,
    Beat,
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
    Unusable,
    Vector,
    View,
    frame,
)

__all__ = ["PATIENCE", "WORKER", "EngineLostError", "EngineProcess", "ending"]

WORKER = ("-m", "groundup.serving.engine_worker")  # Python's arguments; the socket's follows

CHECK = 1.0  # seconds between two looks at whether the process gave a sign of life
START_PATIENCE = 120  # looks in vain before the first sign: libraries may come from a slow disk
PATIENCE = 10  # and after it
GOING = 5.0  # seconds that a process has to go when it has closed its socket, or was killed

decode = msgspec.msgpack.Decoder(Report).decode
logger = logging.getLogger("groundup.serving")


class EngineLostError(ApiError):
    """The engine's process ended, or hangs, and with it all that it was asked."""

    def __init__(
        self,
        what: str = "the engine stopped while it worked on the answer",
        status: int | None = None,
    ) -> None:
        """``status``: of the process, if it is known."""
        super().__init__(503, f"{what}: ask again", code="engine_lost", retry_after=1)
        self.process_status = status
        self.repeated = False  # it was asked of a second one before


class EngineProcess(asyncio.Protocol):
    """Sends requests to a process, and hands out the tokens that it sends back.

    Made by `start`, used in one event loop, ended by `close`. The process ends with this one,
    however that ends. If the process ends first, or gives no sign of life, whoever waits for it
    gets an `EngineLostError` at once, and so does everyone after.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", patience: int) -> None:
        """Not to be called: see `start`."""
        self.context = 0
        self.stats = EngineStats()  # after its last step
        self.pid = process.pid
        self._process = process
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._keys = itertools.count(1)
        self._streams: dict[int, _Stream] = {}
        self._vectors: dict[int, asyncio.Future[bytes]] = {}
        self._views: dict[int, asyncio.Future[EngineView]] = {}
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._check: asyncio.TimerHandle | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._lost = asyncio.Event()
        self._silent = 0  # looks in vain
        self._heard = False

    @classmethod
    async def start(
        cls,
        options: EngineOptions,
        *,
        command: Sequence[str] = WORKER,
        patience: int = PATIENCE,
    ) -> Self:
        """Start a process, and wait until it has loaded the model.

        Args:
            options: what it loads.
            command: Python's arguments for a program that ends in `engine_worker.main`.
            patience: seconds without a sign of life after which it is given up.

        Raises:
            GroundupError: the model cannot be loaded; why.
            EngineLostError: the process ended.
        """
        # glibc then asks for huge pages for what torch allocates (groundup.models.huge_pages says
        # why): packed weights, the cache of keys. It reads this once, when the process starts.
        environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} | os.environ
        if options.threads is not None:
            threads = str(options.threads)
            environment |= {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        here, there = socket.socketpair()
        here.setblocking(False)
        try:
            process = subprocess.Popen(
                # -P: no module in the present folder takes the place of a library.
                [sys.executable, "-P", *command, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                env=environment,
                start_new_session=True,  # Ctrl-C is for the server, which then ends this
            )
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        engine = cls(process, patience)
        try:
            await engine._loop.create_unix_connection(lambda: engine, sock=here)
            if options.cores and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, options.cores)
            engine._send(options)
            await engine._ready
        except EngineLostError:
            status = await engine.ended()
            what = f"the engine {ending(status)} before it was ready"
            raise EngineLostError(what, status) from None
        except BaseException:
            engine._ready.cancel()
            await engine.close()
            raise
        return engine

    def generate(self, request: Request) -> "_Stream":
        """As `AsyncEngine` has it. Asked at once, whether or not the stream is read.

        The stream raises `EngineLostError` where the process is lost.
        """
        key = next(self._keys)
        stream = _Stream(self, key)
        if self._lost.is_set():
            stream.end(EngineLostError())
        else:
            self._streams[key] = stream
            self._send(Add(key, request))
        return stream

    async def embed(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """The vector of one prompt, (dim,).

        Raises:
            GroundupError: the prompt does not fit.
            EngineLostError: the process is lost.
        """
        if self._lost.is_set():
            raise EngineLostError
        key = next(self._keys)
        vector = self._vectors[key] = self._loop.create_future()
        try:
            self._send(Embed(key, tuple(prompt)))
            return np.frombuffer(await vector, np.float32)
        finally:
            self._vectors.pop(key, None)

    async def view(self) -> EngineView:
        """What there is to see of the engine, between two of its steps.

        Raises:
            EngineLostError: the process is lost.
        """
        if self._lost.is_set():
            raise EngineLostError
        key = next(self._keys)
        view: asyncio.Future[EngineView] = self._loop.create_future()
        self._views[key] = view
        try:
            self._send(Look(key))
            return await view
        finally:
            self._views.pop(key, None)

    @property
    def outstanding(self) -> int:
        """Requests and texts that are not answered yet."""
        return len(self._streams) + len(self._vectors)

    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return not self._lost.is_set()

    async def ended(self) -> int:
        """Wait until the process is lost and gone; returns its status, as `subprocess` does."""
        await self._lost.wait()
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self._process.wait, GOING)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self._process.wait, GOING)
        logger.error("the engine process %d cannot be killed", self.pid)
        return -signal.SIGKILL

    async def close(self) -> None:
        """End it. Who still waits gets an `EngineLostError`."""
        self._process.kill()
        self._lose()
        await self.ended()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is only like one
        self._check = self._loop.call_later(CHECK, self._look)

    def data_received(self, data: bytes) -> None:
        self._silent, self._heard = 0, True
        for one in self._frames.feed(data):
            report = decode(one)
            if type(report) is Step:
                self.stats = report.stats
                for key, token in report.tokens:
                    if stream := self._streams.get(key):  # not where it was cancelled meanwhile
                        stream.push(token)
                        if token.finish_reason is not None:
                            del self._streams[key]
            elif type(report) is not Beat:
                self._take(report)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def _take(self, report: Report) -> None:
        match report:
            case Ready(context):
                self.context = context
                self._ready.set_result(None)
            case Unusable(reason):
                self._ready.set_exception(GroundupError(reason))
            case Refused(key, reason, mendable):
                error = GroundupError(reason) if mendable else RuntimeError(reason)
                if stream := self._streams.pop(key, None):
                    stream.end(error)
                elif vector := self._waiting(key):
                    vector.set_exception(error)
            case Vector(key, values):
                if vector := self._waiting(key):
                    vector.set_result(values)
            case View(key, seen):
                view = self._views.get(key)
                if view is not None and not view.done():
                    view.set_result(seen)

    def _waiting(self, key: int) -> asyncio.Future[bytes] | None:
        vector = self._vectors.get(key)
        return None if vector is None or vector.done() else vector

    def _look(self) -> None:
        # Looks are counted, and not seconds: while this process itself stands still there are none.
        self._silent += 1
        if self._silent > (self._patience if self._heard else START_PATIENCE):
            logger.error("the engine process %d gives no sign of life", self.pid)
            self._process.kill()
            self._lose()
        else:
            self._check = self._loop.call_later(CHECK, self._look)

    def _send(self, message: EngineOptions | Order) -> None:
        assert self._transport is not None
        self._transport.write(frame(message))

    def forget(self, key: int) -> None:
        """Cancel a request, unless it has ended."""
        if self._streams.pop(key, None) is not None:
            self._send(Cancel(key))

    def _lose(self) -> None:
        if self._lost.is_set():
            return
        self._lost.set()
        if self._check is not None:
            self._check.cancel()
        if self._transport is not None:
            self._transport.abort()
        for stream in self._streams.values():
            stream.end(EngineLostError())
        self._streams.clear()
        waiting: list[asyncio.Future[Any]] = [
            self._ready,
            *self._vectors.values(),
            *self._views.values(),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(EngineLostError())


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"was killed by signal {-status}"
    return f"ended with status {status}"


class _Stream:
    """One request's tokens; a list of those that came since the last."""

    def __init__(self, engine: EngineProcess, key: int) -> None:
        self._engine = engine
        self._key = key
        self._tokens: list[Token] = []
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Token]:
        while not self._tokens:
            if self._end is not None:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        tokens, self._tokens = self._tokens, []
        if tokens[-1].finish_reason is not None:
            self._end = StopAsyncIteration()
        return tokens

    async def aclose(self) -> None:
        self.end(StopAsyncIteration())
        self._engine.forget(self._key)

    def push(self, token: Token) -> None:
        self._tokens.append(token)
        self._wake()

    def end(self, error: Exception) -> None:
        """Raise this from now on. Tokens that nobody has read yet are gone: so a request that was
        lost before anything of its answer was seen can be repeated."""
        self._tokens.clear()
        if self._end is None:
            self._end = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
