"""Several engine processes as one engine, which outlives each of them."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import fmean
from typing import Self

import numpy as np
from numpy.typing import NDArray

from groundup.engine.request import EngineStats, Request, Token
from groundup.engine.step_log import EngineView
from groundup.errors import GroundupError
from groundup.models.load_tokenizer import load_tokenizer
from groundup.models.locate import locate
from groundup.serving.circuit_breaker import CircuitBreaker
from groundup.serving.consistent_hashing import HashRing
from groundup.serving.engine_messages import PART_FAILED, EngineOptions
from groundup.serving.engine_process import (
    PATIENCE,
    WORKER,
    EngineLostError,
    EngineProcess,
    ending,
)
from groundup.serving.load_balancing import least_outstanding, prefix_affinity
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Replica", "Replicas"]

BEGINNING = 64  # tokens: prompts that share them go to one replica, whose cache then knows them
STEADY = 10.0  # seconds: a process that ends earlier counts as one that did not start
RESTART_DEADLINE = 30.0  # seconds that a request waits for any replica to live
COUNTERS = (
    *("prefix_cache_queries", "prefix_cache_hits", "preemptions"),
    *("drafts", "drafted_tokens", "accepted_tokens"),
)

logger = logging.getLogger("groundup.serving")


class Replica:
    """One place for an engine process, which is filled again when that ends."""

    def __init__(self, name: str, options: EngineOptions) -> None:
        self.name = name
        self.options = options
        self.process: EngineProcess | None = None  # None while it starts
        self.restarts = 0
        # Its calls are the processes' lives: one that was long is followed by the next at once.
        self.breaker = CircuitBreaker(min_calls=1, open_seconds=0.5, max_open_seconds=30.0)
        self._past = EngineStats()  # the counters of the processes before

    @property
    def alive(self) -> EngineProcess | None:
        """The process, if it answers."""
        return self.process if self.process is not None and self.process.alive() else None

    @property
    def stats(self) -> EngineStats:
        """Figures of the process, if there is one, and counters of those before it too."""
        return added_up([self._past] if self.process is None else [self.process.stats, self._past])

    def retire(self) -> None:
        """Empty the place."""
        stats = self.stats
        self._past = EngineStats()
        for name in COUNTERS:
            if name in stats:
                self._past[name] = stats[name]  # type: ignore[literal-required]
        self.process = None


class Replicas:
    """Engine processes of one model. It has `AsyncEngine`'s interface.

    - Long prompts that begin alike go to one replica, as long as that has room (`prefix_affinity`);
      others to one with the fewest requests outstanding.
    - A replica that ends or hangs is started again: at once the first time, then after pauses that
      double. The requests of which nobody has seen a token are repeated on another one, once, as it
      may be the request that kills them. The others end with an `EngineLostError`.
    """

    def __init__(
        self, model_name: str, tokenizer: Tokenizer, options: Sequence[EngineOptions],
        command: Sequence[str], patience: int,
    ) -> None:  # fmt: skip
        """Not to be called: see `start`."""
        self.model_name = model_name
        self.adapters = options[0].adapters
        self.tokenizer = tokenizer
        self.context = 0
        self.replicas = [Replica(str(i), each) for i, each in enumerate(options)]
        self._command = command
        self._patience = patience
        self._rng = random.Random()
        self._ring = HashRing()
        for replica in self.replicas:
            self._ring.add(replica.name)
        self._started = asyncio.Event()  # another replica, since somebody found none

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        options: EngineOptions,
        count: int = 1,
        *,
        command: Sequence[str] = WORKER,
        patience: int = PATIENCE,
    ) -> AsyncIterator[Self]:
        """Run ``count`` processes for as long as the context lasts; all are ready at its beginning.

        Args:
            options: of each, but for ``threads`` and ``cores``, which `spread` sets if not given.
            count: at least 1.
            command: Python's arguments for the process, as `EngineProcess.start` takes them. If it
                ends with the status `PART_FAILED`, the plain one takes its place.
            patience: as `EngineProcess.start` takes it.

        Raises:
            GroundupError: the model cannot be loaded, or a process does not start.
        """
        path = str(await asyncio.to_thread(locate, options.model))  # fetched once, not by each
        tokenizer = await asyncio.to_thread(load_tokenizer, path)
        each = spread(replace(options, model=path), count)
        engine = cls(options.model, tokenizer, each, command, patience)
        keepers: list[asyncio.Task[None]] = []
        try:
            starts = [engine._start(replica) for replica in engine.replicas]
            for result in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(result, EngineLostError):
                    raise GroundupError(result.message)
                if isinstance(result, BaseException):
                    raise result
            keepers += [asyncio.create_task(engine._keep(each)) for each in engine.replicas]
            yield engine
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            processes = [replica.process for replica in engine.replicas if replica.process]
            await asyncio.gather(*(process.close() for process in processes))

    def generate(self, request: Request) -> "_Stream":
        """As `AsyncEngine` has it.

        The stream raises `EngineLostError` when its replica is lost after it gave a token, or
        when no replica lives for `RESTART_DEADLINE` seconds.
        """
        return _Stream(self, request)

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As `AsyncEngine` has it. It raises `EngineLostError` when a replica is lost meanwhile, or
        none lives.
        """
        vectors = []
        for prompt in prompts:  # one at a time: others' steps come between
            process = self.process_for(prompt) or await self.next_process(prompt)
            vectors.append(await process.embed(prompt))
        return np.stack(vectors)

    def ready(self) -> bool:
        """Whether at least one replica lives."""
        return any(replica.alive for replica in self.replicas)

    def stats(self) -> EngineStats:
        """Those of all replicas, added up; of the KV blocks' use, the mean."""
        return added_up([replica.stats for replica in self.replicas])

    async def views(self) -> dict[str, EngineView]:
        """What there is to see of each replica that answers, by its name."""
        processes = {replica.name: p for replica in self.replicas if (p := replica.alive)}
        seen = await asyncio.gather(
            *(process.view() for process in processes.values()), return_exceptions=True
        )
        views = {}
        for name, view in zip(processes, seen, strict=True):
            if isinstance(view, EngineView):
                views[name] = view
            elif not isinstance(view, EngineLostError):  # one that died meanwhile is not there
                raise view
        return views

    def process_for(self, prompt: Sequence[int]) -> EngineProcess | None:
        """Where a prompt should be read; None where no replica lives."""
        alive = {replica.name: p for replica in self.replicas if (p := replica.alive)}
        if not alive:
            return None
        outstanding = {name: process.outstanding for name, process in alive.items()}
        if len(alive) > 1 and len(prompt) > BEGINNING:
            beginning = " ".join(map(str, prompt[:BEGINNING]))
            return alive[prefix_affinity(self._ring, outstanding, beginning)]
        return alive[least_outstanding(outstanding, self._rng)]

    async def next_process(self, prompt: Sequence[int]) -> EngineProcess:
        """The same, when a replica lives.

        Raises:
            EngineLostError: none does within `RESTART_DEADLINE` seconds.
        """
        try:
            async with asyncio.timeout(RESTART_DEADLINE):
                while (process := self.process_for(prompt)) is None:
                    self._started.clear()
                    await self._started.wait()
                return process
        except TimeoutError:
            raise EngineLostError("no engine runs") from None

    async def _start(self, replica: Replica) -> None:
        async def start() -> EngineProcess:
            return await EngineProcess.start(
                replica.options, command=self._command, patience=self._patience
            )

        try:
            process = await start()
        except EngineLostError as lost:
            if lost.process_status != PART_FAILED:
                raise
            self._command = WORKER
            process = await start()
        replica.process = process
        self.context = process.context
        self._started.set()

    async def _keep(self, replica: Replica) -> None:
        """Fill a replica's place again whenever its process ends."""
        clock = asyncio.get_running_loop().time
        while True:
            while (ticket := replica.breaker.begin()) is None:
                await asyncio.sleep(max(0.01, replica.breaker.retry_after))
            began = clock()
            try:
                if replica.process is None:
                    replica.restarts += 1
                    await self._start(replica)
                    logger.warning(
                        "replica %s runs again after %.1f seconds", replica.name, clock() - began
                    )
                assert replica.process is not None
                status = await replica.process.ended()
            except (GroundupError, EngineLostError) as error:
                logger.error("replica %s does not start: %s", replica.name, error)
                replica.breaker.end(ticket, failed=True)
                continue
            logger.error("replica %s %s: it is started again", replica.name, ending(status))
            replica.breaker.end(ticket, failed=clock() - began < STEADY)
            replica.retire()
            if status == PART_FAILED:
                self._command = WORKER


class _Stream:
    """A request's tokens, from one replica, or from the next if that had not begun."""

    def __init__(self, replicas: Replicas, request: Request) -> None:
        self._replicas = replicas
        self._request = request
        self._repeated = False
        self._begun = False
        process = replicas.process_for(request.prompt)
        self._tokens = None if process is None else process.generate(request)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Token]:
        while True:
            if self._tokens is None:
                process = await self._replicas.next_process(self._request.prompt)
                self._tokens = process.generate(self._request)
            try:
                tokens = await anext(self._tokens)
            except EngineLostError as lost:
                if self._begun or self._repeated:
                    lost.repeated = self._repeated
                    raise
                self._repeated = True
                self._tokens = None
            else:
                self._begun = True
                return tokens

    async def aclose(self) -> None:
        if self._tokens is not None:
            await self._tokens.aclose()


def added_up(all_stats: Sequence[EngineStats]) -> EngineStats:
    """The sum of each figure that any has; of the KV blocks' use, the mean."""
    total = EngineStats()
    for name in EngineStats.__annotations__:
        if values := [stats[name] for stats in all_stats if name in stats]:  # type: ignore[literal-required]
            combined = fmean(values) if name == "kv_cache_usage" else sum(values)
            total[name] = combined  # type: ignore[literal-required]
    return total


def spread(options: EngineOptions, count: int) -> list[EngineOptions]:
    """The options of each of ``count`` replicas: where there are cores enough, each has its own.

    Raises:
        GroundupError: count is less than 1.
    """
    if count < 1:
        raise GroundupError(f"there must be at least 1 replica, got {count}")
    if count == 1:
        return [options]
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    threads = options.threads or max(1, len(cores) // count)
    options = replace(options, threads=threads)
    if count * threads > len(cores):
        return [options] * count
    shares = [tuple(cores[i * threads : (i + 1) * threads]) for i in range(count)]
    return [replace(options, cores=share) for share in shares]
