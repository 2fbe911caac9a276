"""Redis that is down, or hangs: the documented decision, soon, and one line in the log."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from groundup.course.grader.clock import Clock
from groundup.serving.rate_limits import Limit
from groundup.serving.rate_limits_redis import RedisRateLimits
from groundup.serving.redis_connection import RedisConnection, RedisDown
from groundup.serving.response_cache_redis import RedisResponseCache

LIMITS = {"requests": Limit(1.0, 5.0)}
ONE = {"requests": 1.0}


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("groundup")]


@pytest.mark.parametrize("fail_open", [True, False])
def test_nobody_listens(caplog: pytest.LogCaptureFixture, fail_open: bool) -> None:
    async def scenario() -> None:
        connection = RedisConnection.connect(f"redis://127.0.0.1:{free_port()}", timeout=2.0)
        limits = RedisRateLimits(LIMITS, connection, fail_open=fail_open)
        cache = RedisResponseCache(connection, ttl=60.0)
        for _ in range(20):
            assert await limits.reserve("a", ONE) == (0.0 if fail_open else 1.0, {})
            await limits.refund("a", ONE)
            await cache.put("key", b"an answer")
            assert await cache.get("key") is None
        await connection.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    (line,) = lines(caplog)
    assert line.startswith("Redis is down (ConnectionError: ")
    assert line.endswith("): going on without it")


def test_a_server_that_never_answers_holds_no_request(caplog: pytest.LogCaptureFixture) -> None:
    connections = 0

    async def scenario() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = RedisConnection.connect(f"redis://127.0.0.1:{port}", timeout=0.05)
        limits = RedisRateLimits(LIMITS, connection)
        async with asyncio.timeout(60):  # not a measure: it ends a test that hangs
            results = [await limits.reserve("a", ONE) for _ in range(200)]
        assert results == [(0.0, {})] * 200
        await connection.close()
        server.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert len(lines(caplog)) == 1
    assert connections < 50  # the breaker left it alone


def test_an_outage_ends(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        server = FakeServer()
        connection = RedisConnection(FakeAsyncRedis(server=server), timeout=30.0, clock=clock)
        limits = RedisRateLimits(LIMITS, connection)
        cache = RedisResponseCache(connection, ttl=60.0)
        assert (await limits.reserve("a", ONE)).left == {"requests": 4.0}
        await cache.put("key", b"kept")
        clock.now += 100
        server.connected = False
        for _ in range(5):
            assert await limits.reserve("a", ONE) == (0.0, {})
        server.connected = True
        assert await cache.get("key") is None  # left alone for a second
        with pytest.raises(RedisDown, match="left alone"):
            await connection.run(lambda redis: redis.ping())
        clock.now += 1.0
        assert await cache.get("key") == b"kept"
        assert (await limits.reserve("a", ONE)).left["requests"] >= 3.0
        await connection.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    down, back = lines(caplog)
    assert down.startswith("Redis is down (")
    assert back == "Redis is back"


def test_a_cancelled_request_says_nothing_about_redis(clock: Clock) -> None:
    async def scenario() -> None:
        connection = RedisConnection(FakeAsyncRedis(), timeout=30.0, clock=clock)
        never = asyncio.Event()

        async def wait_for_ever(redis: Redis) -> None:
            await never.wait()

        for _ in range(10):
            task = asyncio.create_task(connection.run(wait_for_ever))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await connection.run(lambda redis: redis.ping())
        await connection.close()

    asyncio.run(scenario())


def test_answers_are_shared_and_end(new_redis: Callable[[], Redis]) -> None:
    async def scenario() -> None:
        async with new_redis() as first, new_redis() as second:
            one, two = (
                RedisResponseCache(RedisConnection(client, timeout=30.0), ttl=100.0, prefix="p:")
                for client in (first, second)
            )
            assert await one.get("key") is None
            await one.put("key", b"\x00\xff answer")
            assert await two.get("key") == b"\x00\xff answer"
            assert 90_000 < await first.pttl("p:key") <= 100_000
            await RedisResponseCache(RedisConnection(first), ttl=float("inf")).put("k", b"")
            assert await first.pttl("groundup:answers:k") == -1

    asyncio.run(scenario())
    with pytest.raises(ValueError, match="ttl must be positive"):
        RedisResponseCache(RedisConnection(FakeAsyncRedis()), ttl=0)


def test_gateways_without_redis_need_not_have_it_installed() -> None:
    """Only the files with Redis in their names import it: it is an extra."""
    room = Path(__file__).parents[2] / "src" / "groundup" / "serving"
    importing = {p.name for p in room.glob("*.py") if "from redis" in p.read_text()}
    assert importing == {"redis_connection.py"}
    line = "\nfrom groundup.serving.redis_connection import"  # not within a function
    users = {p.name for p in room.glob("*.py") if line in p.read_text()}
    assert users == {"budget_ledger_redis.py", "rate_limits_redis.py", "response_cache_redis.py"}
