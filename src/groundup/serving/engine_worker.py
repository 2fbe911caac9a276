"""The engine's side of `EngineProcess`: one loop that takes orders, makes a step, and reports.

    python -m groundup.serving.engine_worker DESCRIPTOR

where the descriptor is a connected socket. It ends when the other side does.
"""

import faulthandler
import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import torch
from torch import Tensor

from groundup.engine.engine import Engine
from groundup.engine.fused_llama import WeightBits
from groundup.engine.packed_matrix import supports_int8
from groundup.engine.request import EngineStats, Request, Token
from groundup.engine.scheduler import Scheduler
from groundup.engine.speculation import Speculation
from groundup.engine.step_log import EngineView
from groundup.errors import GroundupError
from groundup.models.llama import Llama
from groundup.models.load import load_model
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

__all__ = ["Link", "SteppingEngine", "main", "make_engine", "work"]

BEAT = 0.5  # seconds between two signs of life
STUCK = 300.0  # seconds after which a step, or the model's loading, is taken for a hang
WARM_UP = 64  # tokens

logger = logging.getLogger("groundup.serving")


class SteppingEngine(Protocol):
    """What the loop needs of `Engine`."""

    scheduler: Scheduler
    prompt_tokens: int
    cached_tokens: int
    speculation: Speculation | None

    @property
    def busy(self) -> bool: ...
    def add(self, key: int, request: Request) -> None: ...
    def cancel(self, key: int) -> None: ...
    def step(self) -> list[tuple[int, Token]]: ...
    def embed(self, prompt: tuple[int, ...]) -> Tensor: ...
    def view(self) -> EngineView: ...


class Link:
    """The socket to the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = Frames()
        self._decoder = msgspec.msgpack.Decoder(Order)
        self._sending = threading.Lock()
        self._busy_since: float | None = time.monotonic()

    def options(self) -> EngineOptions:
        """The first message."""
        while not (frames := self._frames.feed(self._receive(wait=True))):
            pass
        return msgspec.msgpack.decode(frames[0], type=EngineOptions)  # orders follow `Ready`

    def orders(self, wait: bool) -> list[Order]:
        """What has come; with ``wait``, at least one.

        Raises:
            ConnectionError: the server has ended.
        """
        while True:
            data = self._receive(wait)
            orders = [self._decoder.decode(one) for one in self._frames.feed(data)]
            if orders or not wait:
                return orders

    def send(self, report: Report) -> None:
        """Raises: ConnectionError: the server has ended."""
        with self._sending:
            self._connection.sendall(frame(report))

    def _receive(self, wait: bool) -> bytes:
        self._busy_since = None
        try:
            data = self._connection.recv(1 << 18, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        finally:
            self._busy_since = time.monotonic()
        if not data:
            raise ConnectionResetError("the server has ended")
        return data

    def beat(self) -> None:
        """Give signs of life, in a thread of its own, and end the process with the server.

        They are no promise that the loop goes on: a long step is not a hang. But where one takes
        `STUCK` seconds, the process shows where it stands, and ends.
        """
        with suppress(ConnectionError):
            while True:
                time.sleep(BEAT)
                since = self._busy_since
                if since is not None and time.monotonic() - since > STUCK:
                    faulthandler.dump_traceback()
                    os._exit(1)
                self.send(Beat())
        os._exit(0)  # whatever the loop is at: there is nobody to answer to


class _Kept:
    """The tokens of an answer until it is complete."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self._first = 0.0

    def add(self, token: Token) -> None:
        if not self.tokens:
            self._first = time.monotonic()
        self.tokens.append(token)

    def together(self) -> list[Token]:
        first = replace(self.tokens[0], age=time.monotonic() - self._first)
        return [first, *self.tokens[1:]]


def work(link: Link, engine: SteppingEngine) -> None:
    """The loop. Orders are taken between two steps, and waited for only where there is none to do.

    Raises:
        ConnectionError: the server has ended.
    """
    kept: dict[int, _Kept] = {}  # the answers that are wanted whole
    while True:
        for order in link.orders(wait=not engine.busy):
            if report := take(engine, order):
                link.send(report)
            elif isinstance(order, Add) and order.request.whole:
                kept[order.key] = _Kept()
            elif isinstance(order, Cancel):
                kept.pop(order.key, None)
        tokens = []
        for key, token in engine.step() if engine.busy else []:
            if key not in kept:
                tokens.append((key, token))
                continue
            kept[key].add(token)
            if token.finish_reason is not None:
                tokens += [(key, each) for each in kept.pop(key).together()]
        link.send(Step(tokens, stats_of(engine)))


def take(engine: SteppingEngine, order: Order) -> Report | None:
    """Do what is ordered; what there is to report of it at once."""
    try:
        match order:
            case Add():
                engine.add(order.key, order.request)
            case Cancel():
                engine.cancel(order.key)
            case Embed():
                return Vector(order.key, engine.embed(order.prompt).numpy().tobytes())
            case Look():
                return View(order.key, engine.view())
    except GroundupError as error:
        return Refused(order.key, str(error), mendable=True)
    except Exception as error:  # of one request; the others go on
        logger.exception("the engine failed to take up a request")
        return Refused(order.key, str(error), mendable=False)
    return None


def stats_of(engine: SteppingEngine) -> EngineStats:
    """Figures of the moment."""
    scheduler = engine.scheduler
    allocator = scheduler.allocator
    stats = EngineStats(
        running=len(scheduler.running),
        waiting=len(scheduler.waiting),
        kv_cache_usage=1 - allocator.free / allocator.size,
        prefix_cache_queries=engine.prompt_tokens,
        prefix_cache_hits=engine.cached_tokens,
        preemptions=scheduler.preemptions,
    )
    if (speculation := engine.speculation) is not None:
        stats["drafts"] = speculation.drafts
        stats["drafted_tokens"] = speculation.drafted_tokens
        stats["accepted_tokens"] = speculation.accepted_tokens
    return stats


def make_engine(options: EngineOptions, *, fused: bool = True) -> tuple[Engine, int]:
    """The engine and its context in tokens; its kernels are compiled, or loaded."""
    bits: dict[str | None, WeightBits] = {"int8": 8, "int4": 4}
    weight_bits = bits.get(options.dtype)
    if weight_bits is not None and not supports_int8():
        raise GroundupError(
            f"{options.dtype}: this build of PyTorch has no products of 8-bit integers"
        )
    dtype = None
    if options.dtype is not None and weight_bits is None:
        dtype = getattr(torch, options.dtype)
    loaded = load_model(options.model, dtype)
    speculate: Llama | Literal["ngram"] | None = None
    if options.speculate == "ngram":
        speculate = "ngram"
    elif options.speculate is not None:
        speculate = load_model(options.speculate, dtype).model
    context = loaded.model.config.context
    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        fused=fused,
        weight_bits=weight_bits,
        positions=options.positions or max(16_384, context),  # so that the longest request fits
        token_budget=options.token_budget,
        max_sequences=options.max_sequences,
        speculate=speculate,
        draft_tokens=options.draft_tokens,
    )
    for name, folder in options.adapters.items():
        engine.load_adapter(name, Path(folder))
    prompt, adapter = (0,) * min(WARM_UP, context // 2), next(iter(options.adapters), None)
    engine.add(0, Request(prompt, max_tokens=3, adapter=adapter))
    while engine.busy:
        engine.step()
    engine.prompt_tokens = engine.cached_tokens = 0  # nobody asked for these
    engine.log.clear()
    if (speculation := engine.speculation) is not None:
        speculation.drafts = speculation.drafted_tokens = speculation.accepted_tokens = 0
    return engine, context


Make = Callable[[EngineOptions], tuple[SteppingEngine, int]]


def main(make: Make = make_engine) -> None:
    """Serve the socket whose descriptor is the first argument."""
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    threading.Thread(target=link.beat, daemon=True).start()
    with suppress(ConnectionError):
        try:
            engine, context = make(link.options())
        except GroundupError as error:
            link.send(Unusable(str(error)))
            return
        gc.collect()
        gc.freeze()  # the model stays, so Python's collector may pass it over
        link.send(Ready(context))
        work(link, engine)


if __name__ == "__main__":
    main()
