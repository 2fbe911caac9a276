"""An engine in a thread of its own, for programs that wait for many things at once."""

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray

from groundup.engine.engine import Engine
from groundup.engine.request import EngineStats, Request, Token
from groundup.errors import GroundupError
from groundup.models.load import LoadedModel, load_model

__all__ = ["AsyncEngine"]


# What the engine's thread hands back: of an answer tokens, of a text to embed its vector.
Reply = Token | NDArray[np.float32] | Exception


class AsyncEngine:
    """Hands requests to an engine's thread, and its tokens to those who wait for them.

    Made and used in one event loop.
    """

    def __init__(self, loaded: LoadedModel, *, fused: bool = True) -> None:
        """Start the thread; `close` ends it."""
        self.model_name = loaded.name
        self.context = loaded.model.config.context
        self.tokenizer = loaded.tokenizer
        # At least one request of full length fits.
        positions = max(16_384, self.context)
        self._engine = Engine(loaded.model, loaded.tokenizer, fused=fused, positions=positions)
        self._loop = asyncio.get_running_loop()
        self._keys = itertools.count()
        self._queues: dict[int, asyncio.Queue[Reply]] = {}
        self._orders: deque[Callable[[], None]] = deque()  # for the engine's thread
        self._wake = threading.Condition()
        self._closing = False
        self._ended = False  # known to the event loop, once all who waited have been told
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @classmethod
    @asynccontextmanager
    async def start(cls, source: str, *, fused: bool = True) -> AsyncIterator["AsyncEngine"]:
        """Load a model, as `load_model` takes it, and run it for as long as the context lasts."""
        engine = cls(await asyncio.to_thread(load_model, source), fused=fused)
        try:
            await engine._warm_up()
            yield engine
        finally:
            await asyncio.to_thread(engine.close)

    async def generate(self, request: Request) -> AsyncGenerator[list[Token]]:
        """New tokens as they come; the last one bears the finish reason.

        Closing the generator cancels the request and frees what it held.

        Raises:
            GroundupError: before the first token; see `Engine.add`.
        """
        key = next(self._keys)
        queue = self._queues[key] = asyncio.Queue()
        try:
            self._order(lambda: self._add(key, request))
            while True:
                tokens = [await queue.get()]
                while not queue.empty():
                    tokens.append(queue.get_nowait())
                good = [token for token in tokens if isinstance(token, Token)]
                if good:
                    yield good
                    if good[-1].finish_reason is not None:
                        return
                for token in tokens:
                    if isinstance(token, Exception):
                        raise token
        finally:
            del self._queues[key]
            if not self._ended:
                self._order(lambda: self._engine.cancel(key))

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """One vector of length 1 for each prompt; returns (n, dim)."""
        vectors = []
        for prompt in prompts:  # one at a time: others' steps come between
            key = next(self._keys)
            queue = self._queues[key] = asyncio.Queue()
            try:
                self._order(partial(self._embed, key, tuple(prompt)))
                vector = await queue.get()
            finally:
                del self._queues[key]
            if isinstance(vector, Exception):
                raise vector
            assert isinstance(vector, np.ndarray)
            vectors.append(vector)
        return np.stack(vectors)

    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._closing

    def stats(self) -> EngineStats:
        """Figures of the moment."""
        scheduler = self._engine.scheduler
        allocator = scheduler.allocator
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            kv_cache_usage=1 - allocator.free / allocator.size,
            prefix_cache_queries=self._engine.prompt_tokens,
            prefix_cache_hits=self._engine.cached_tokens,
            preemptions=scheduler.preemptions,
        )

    def close(self) -> None:
        """End the thread after its present step; who still waits gets an error."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    async def _warm_up(self) -> None:
        """Compile, or load, the kernels before the first request waits for them."""
        async for _ in self.generate(Request(prompt=(0,) * 64, max_tokens=3)):
            pass

    def _order(self, order: Callable[[], None]) -> None:
        # Whether the thread is alive would be another question: what it no longer reads while it
        # ends, `_fail` answers, but only for those who were waiting by then.
        if self._ended:
            raise GroundupError("the engine has stopped") from self._failure
        with self._wake:
            self._orders.append(order)
            self._wake.notify()

    # What follows runs in the engine's thread.

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    while not (self._orders or self._engine.busy or self._closing):
                        self._wake.wait()
                    if self._closing:
                        break
                while self._orders:
                    self._orders.popleft()()
                if tokens := self._engine.step():
                    self._loop.call_soon_threadsafe(self._deliver, tokens)
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._loop.call_soon_threadsafe(self._fail)

    def _add(self, key: int, request: Request) -> None:
        try:
            self._engine.add(key, request)
        except Exception as error:  # handed to the caller, who asked for it
            self._loop.call_soon_threadsafe(self._deliver, [(key, error)])

    def _embed(self, key: int, prompt: tuple[int, ...]) -> None:
        vector: Reply
        try:
            vector = self._engine.embed(prompt).numpy()
        except Exception as error:  # handed to the caller
            vector = error
        self._loop.call_soon_threadsafe(self._deliver, [(key, vector)])

    # And this in the event loop's.

    def _deliver(self, replies: Sequence[tuple[int, Reply]]) -> None:
        for key, reply in replies:
            if key in self._queues:  # not where it was cancelled meanwhile
                self._queues[key].put_nowait(reply)

    def _fail(self) -> None:
        self._ended = True
        for queue in self._queues.values():
            queue.put_nowait(GroundupError("the engine has stopped"))
