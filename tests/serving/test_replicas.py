"""Several engine processes as one: who is asked, and what becomes of those who asked a dead one."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from groundup.engine.request import EngineStats, Request
from groundup.errors import GroundupError
from groundup.serving.engine_messages import EngineOptions
from groundup.serving.engine_process import EngineLostError
from groundup.serving.replicas import Replica, Replicas, added_up, spread

LONG = 60.0  # seconds: whoever waits longer waits for ever


@asynccontextmanager
async def running(model: str, count: int, **options: Any) -> AsyncIterator[Replicas]:
    async with (
        asyncio.timeout(3 * LONG),
        Replicas.start(EngineOptions(model, threads=1), count, **options) as replicas,
    ):
        yield replicas


async def ids(stream: Any) -> list[int]:
    return [token.id async for tokens in stream for token in tokens]


async def until(condition: Any) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.01)


# Where a prompt is read


class FakeProcess:
    """Answers nothing; it is only counted."""

    def __init__(self) -> None:
        self.outstanding = 0

    def alive(self) -> bool:
        return True


@pytest.fixture
async def three() -> Replicas:
    options = [EngineOptions("none")] * 3
    replicas = Replicas("none", None, options, (), 1)  # type: ignore[arg-type]
    for replica in replicas.replicas:
        replica.process = FakeProcess()  # type: ignore[assignment]
    return replicas


async def test_short_prompts_go_to_the_least_busy(three: Replicas) -> None:
    for _ in range(30):
        process = three.process_for((1, 2, 3))
        assert process is not None
        process.outstanding += 1  # type: ignore[misc]
    assert [r.process.outstanding for r in three.replicas if r.process] == [10, 10, 10]
    three.replicas[1].process.outstanding = 3  # type: ignore[union-attr,misc]
    assert three.process_for((1, 2, 3)) is three.replicas[1].process


async def test_prompts_that_begin_alike_go_together_while_there_is_room(three: Replicas) -> None:
    beginnings = [tuple(range(n, n + 64)) for n in range(30)]
    where = {b: three.process_for((*b, 1)) for b in beginnings}
    assert len({id(process) for process in where.values()}) == 3  # each has its share
    for beginning in beginnings:
        for rest in ((2,), (3, 4, 5)):
            assert three.process_for((*beginning, *rest)) is where[beginning]
    # One that is away takes only its own with it.
    three.replicas[0].process, away = None, three.replicas[0].process
    for beginning, before in where.items():
        now = three.process_for((*beginning, 1))
        assert now is not away
        assert now is before or before is away
    three.replicas[0].process = away
    # No more than 1.25 times a third of all requests are one replica's, however alike.
    for _ in range(300):
        process = three.process_for((*beginnings[0], 1))
        assert process is not None
        process.outstanding += 1  # type: ignore[misc]
    counts = [r.process.outstanding for r in three.replicas if r.process]
    assert max(counts) == 125
    assert where[beginnings[0]].outstanding == 125  # type: ignore[union-attr]


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5, 7}, raising=False)
    options = EngineOptions("m")
    assert spread(options, 1) == [options]
    assert [(each.threads, each.cores) for each in spread(options, 2)] == [(2, (2, 3)), (2, (5, 7))]
    assert [(each.threads, each.cores) for each in spread(options, 3)] == [
        (1, (2,)), (1, (3,)), (1, (5,)),
    ]  # fmt: skip
    # Fewer cores than are asked for: nobody is held to any.
    assert [(each.threads, each.cores) for each in spread(options, 5)] == [(1, ())] * 5
    two = EngineOptions("m", threads=3)
    assert [(each.threads, each.cores) for each in spread(two, 2)] == [(3, ())] * 2
    with pytest.raises(GroundupError, match="at least 1"):
        spread(options, 0)


def test_figures_are_added_up() -> None:
    one = EngineStats(running=2, waiting=1, kv_cache_usage=0.5, prefix_cache_hits=7)
    two = EngineStats(running=3, waiting=0, kv_cache_usage=0.1, prefix_cache_queries=9)
    assert added_up([one, two, EngineStats()]) == {
        "running": 5, "waiting": 1, "kv_cache_usage": pytest.approx(0.3),
        "prefix_cache_hits": 7, "prefix_cache_queries": 9,
    }  # fmt: skip


def test_counters_never_go_back() -> None:
    class Process:
        stats = EngineStats(running=2, preemptions=3, prefix_cache_hits=5, kv_cache_usage=1.0)

    replica = Replica("0", EngineOptions("m"))
    assert replica.stats == {}
    for life in range(1, 3):
        replica.process = Process()  # type: ignore[assignment]
        total = {"preemptions": 3 * life, "prefix_cache_hits": 5 * life}
        assert replica.stats == total | {"running": 2, "kv_cache_usage": 1.0}
        replica.retire()
        assert replica.stats == total


# What becomes of requests


async def test_a_lost_replica(tiny_model: str, caplog: pytest.LogCaptureFixture) -> None:
    """Requests that were begun fail, the others are repeated, and it comes back."""
    caplog.set_level(logging.WARNING)
    async with running(tiny_model, 2) as replicas:
        one, two = (replica.process for replica in replicas.replicas)
        assert one is not None
        assert two is not None
        streams = [replicas.generate(Request((i, i), max_tokens=500)) for i in range(20)]
        assert one.outstanding == two.outstanding == 10
        begun = [stream for stream in streams if stream._tokens in one._streams.values()][:4]
        for stream in begun:
            await anext(stream)
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: not one.alive())  # what it said before it died is not read
        results = await asyncio.gather(*map(ids, streams), return_exceptions=True)
        for stream, result in zip(streams, results, strict=True):
            if stream in begun:
                assert isinstance(result, EngineLostError), result
            else:
                assert isinstance(result, list)
                assert len(result) == 500
        assert replicas.ready()
        await until(lambda: replicas.replicas[0].alive)
        assert replicas.replicas[0].restarts == 1
        assert replicas.replicas[0].process.pid != one.pid  # type: ignore[union-attr]
        assert "replica 0 was killed by signal 9" in caplog.text
        assert "replica 0 runs again" in caplog.text
        # The last one dies too: who asks meanwhile waits for the next.
        for replica in replicas.replicas:
            os.kill(replica.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        await until(lambda: not replicas.ready())
        late = [replicas.generate(Request((1,), max_tokens=2)) for _ in range(3)]
        assert [len(await ids(stream)) for stream in late] == [2, 2, 2]
        assert (await replicas.embed([(1, 2), (3,)])).shape == (2, 32)
        assert replicas.ready()
