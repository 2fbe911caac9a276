"""Rate limits in memory and in Redis: the same traffic, the same decisions."""

import asyncio
import random
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from groundup.course.grader.clock import Clock
from groundup.errors import GroundupError
from groundup.serving.rate_limits import Limit, RateLimits
from groundup.serving.rate_limits_redis import RedisRateLimits
from groundup.serving.redis_connection import RedisConnection

LIMITS = {"requests": Limit(2.0, 10.0), "tokens": Limit(100.0, 2000.0)}


def connection(client: Redis) -> RedisConnection:
    return RedisConnection(client, timeout=30.0)  # a busy machine is no outage


def test_all_or_nothing_with_what_is_left(clock: Clock) -> None:
    async def scenario() -> None:
        limits = RateLimits(LIMITS, clock=clock)
        first = await limits.reserve("a", {"requests": 1, "tokens": 1500})
        assert first == (0.0, {"requests": 9.0, "tokens": 500.0})
        assert await limits.reserve("a", {"requests": 1, "tokens": 700}) == (2.0, first.left)
        assert (await limits.reserve("b", {"requests": 1, "tokens": 1500})).wait == 0
        await limits.refund("a", {"tokens": 1000})
        assert (await limits.reserve("a", {"requests": 1, "tokens": 1500})).left["tokens"] == 0
        assert (await limits.reserve("a", {"requests": 1})).wait == 0  # tokens are not asked for

    asyncio.run(scenario())


def test_the_client_longest_unseen_is_forgotten(clock: Clock) -> None:
    async def scenario() -> None:
        limits = RateLimits({"requests": Limit(0.001, 1.0)}, max_clients=2, clock=clock)
        one = {"requests": 1.0}
        waits = [(await limits.reserve(name, one)).wait == 0 for name in "abacab"]
        # c pushes out b, not a, which was seen since; b then pushes out c.
        assert waits == [True, True, False, True, False, True]
        await limits.refund("never seen", one)

    asyncio.run(scenario())


@pytest.mark.parametrize("shared", [False, True])
def test_bad_amounts_and_limits(clock: Clock, new_redis: Callable[[], Redis], shared: bool) -> None:
    async def scenario() -> None:
        limits: RateLimits | RedisRateLimits = RateLimits(LIMITS, clock=clock)
        client = new_redis()
        if shared:
            limits = RedisRateLimits(LIMITS, connection(client))
        with pytest.raises(GroundupError, match="3000 tokens are asked for"):
            await limits.reserve("a", {"requests": 1, "tokens": 3000})
        for bad in ({"tokens": -1.0}, {"tokens": float("nan")}, {"images": 1.0}):
            with pytest.raises(ValueError, match=r"amount|no limit"):
                await limits.reserve("a", bad)
            with pytest.raises(ValueError, match=r"amount|no limit"):
                await limits.refund("a", bad)
            with pytest.raises(ValueError, match=r"amount|no limit"):
                await limits.charge("a", bad)
        assert (await limits.reserve("a", {})).left == {"requests": 10.0, "tokens": 2000.0}
        for none in ({}, {"x": Limit(0.0, 1.0)}, {"x": Limit(1.0, float("inf"))}):
            with pytest.raises(ValueError, match=r"limit|must be positive"):
                RedisRateLimits(none, connection(client))
            with pytest.raises(ValueError, match=r"limit|must be positive"):
                RateLimits(none)
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_redis_decides_as_memory_does(
    clock: Clock, new_redis: Callable[[], Redis], seed: int
) -> None:
    async def scenario() -> None:
        rng = random.Random(seed)
        local = RateLimits(LIMITS, clock=clock)
        client = new_redis()
        shared = RedisRateLimits(LIMITS, connection(client), clock=clock)
        admitted = 0
        for _ in range(150):
            # Eighths of a second are exact, in microseconds too. Now and then the clock goes back.
            clock.now += rng.choice([0.0, 0.125, 0.125, 0.5, 8.0, -0.25])
            name = rng.choice("ab")
            amounts = {"requests": rng.randint(1, 3), "tokens": rng.randint(1, 900)}
            if rng.random() < 0.1:
                del amounts["tokens"]
            if rng.random() < 0.2:
                await local.refund(name, amounts)
                await shared.refund(name, amounts)
                continue
            if rng.random() < 0.1:  # they may owe tokens afterwards
                await local.charge(name, amounts)
                await shared.charge(name, amounts)
                continue
            want, got = await local.reserve(name, amounts), await shared.reserve(name, amounts)
            assert got.wait == pytest.approx(want.wait, abs=2e-6)
            assert got.left == pytest.approx(want.left, abs=1e-6)
            admitted += want.wait == 0
        assert 20 < admitted < 120
        await client.aclose()

    asyncio.run(scenario())


def test_redis_with_its_own_time_forgets_full_buckets(new_redis: Callable[[], Redis]) -> None:
    async def scenario() -> None:
        client = new_redis()
        limits = RedisRateLimits({"requests": Limit(0.5, 3.0)}, connection(client), prefix="p:")
        waits = [(await limits.reserve("a", {"requests": 1})).wait for _ in range(4)]
        assert waits[:3] == [0, 0, 0]
        assert 0 < waits[3] <= 2.00001
        assert await client.keys() == [b"p:a"]
        assert 0 < await client.pttl("p:a") <= 7001  # six seconds until it is full, and one
        await client.aclose()

    asyncio.run(scenario())


def test_many_gateways_at_once_admit_the_burst(new_redis: Callable[[], Redis]) -> None:
    async def scenario() -> None:
        clients = [new_redis() for _ in range(4)]
        limits = [RedisRateLimits({"requests": Limit(1e-6, 20.0)}, connection(c)) for c in clients]
        takes = [limits[i % 4].reserve("a", {"requests": 1}) for i in range(60)]
        assert sum(each.wait == 0 for each in await asyncio.gather(*takes)) == 20
        for client in clients:
            await client.aclose()

    asyncio.run(scenario())
