"""Checks of `groundup.serving.response_cache`. Oracles: JSON written by hand, lists, and counts."""

import asyncio
import hashlib
import math
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.clock import Clock
from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

HELLO = [{"role": "user", "content": "Hello"}]
GREEDY: dict[str, Any] = {"model": "small", "messages": HELLO, "temperature": 0}


class Engine:
    """Counts its computations, each of which waits until it is let go."""

    def __init__(self) -> None:
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> bytes:
        self.started += 1
        number = self.started
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        self.finished += 1
        return f"answer {number}".encode()


async def turns(count: int = 10) -> None:
    """Let all other tasks run as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def check_key_is_of_what_counts(part: ModuleType) -> None:
    """request_key: the digest of the canonical JSON"""
    cases = {
        '{"messages":[{"content":"Hello","role":"user"}],"model":"small","temperature":0}': GREEDY,
        r'{"prompt":"Gr\u00fc\u00dfe","stop":[" b"],"temperature":0,"x":{"a":[1,{}],"b":0.5}}': {
            "x": {"b": 0.5, "a": [1.0, {}]},
            "temperature": 0.0,
            "stop": [" b"],
            "prompt": "Grüße",
        },
        '{"a":true,"b":{"c":null,"user":"x"},"seed":7}': {
            "seed": 7,
            "a": True,
            "b": {"user": "x", "c": None},
            "temperature": None,
        },
    }
    expected = {text: hashlib.sha256(text.encode()).hexdigest() for text in cases}
    for text, request in cases.items():
        got = part.request_key(request)
        assert_equal(got, expected[text], f"the key of {request}, whose JSON should be {text}")


def check_equal_requests(part: ModuleType) -> None:
    """request_key: requests that ask for the same have the same key"""
    want = part.request_key(GREEDY)
    same: list[dict[str, Any]] = [
        dict(reversed(GREEDY.items())),
        GREEDY | {"messages": [{"content": "Hello", "role": "user"}]},
        GREEDY | {"temperature": 0.0},
        GREEDY | {"temperature": -0.0},
        GREEDY | {"user": "somebody", "stream": True, "stream_options": {"include_usage": True}},
        GREEDY | {"metadata": {"a": "b"}, "store": False, "service_tier": "auto"},
        GREEDY | {"safety_identifier": "x", "prompt_cache_key": "y"},
        GREEDY | {"stop": None, "seed": None, "top_p": None},
    ]
    for request in same:
        assert_equal(part.request_key(request), want, f"the key of {request}")


def check_different_requests(part: ModuleType) -> None:
    """request_key: requests that ask for something else have another key"""
    different: list[dict[str, Any]] = [
        GREEDY,
        GREEDY | {"model": "large"},
        GREEDY | {"messages": [{"role": "system", "content": "Hello"}]},
        GREEDY | {"messages": HELLO + HELLO},
        GREEDY | {"messages": [{"role": "user", "content": "hello"}]},
        GREEDY | {"messages": [{"role": "user", "content": "Hello "}]},
        GREEDY | {"messages": [{"role": "user", "content": "Hello", "name": "user"}]},
        GREEDY | {"messages": [{"role": "user", "content": "Hello", "user": "x"}]},
        GREEDY | {"seed": 1},
        GREEDY | {"seed": True},
        GREEDY | {"seed": "1"},
        GREEDY | {"temperature": 0.7, "seed": 1},
        GREEDY | {"max_tokens": 1},
        GREEDY | {"max_tokens": 10},
        GREEDY | {"tools": [1, 2]},
        GREEDY | {"tools": [2, 1]},
    ]
    keys = [part.request_key(request) for request in different]
    for i, request in enumerate(different):
        for j in range(i):
            if keys[i] == keys[j]:
                raise CheckFailure(f"{request} and {different[j]} have the same key {keys[i]!r}")


def check_draws_have_no_key(part: ModuleType) -> None:
    """request_key: a random draw without a seed has none, and what is not finite raises"""
    plain = {"model": "small", "messages": HELLO}
    for extra in ({}, {"temperature": 1}, {"temperature": 0.01}, {"temperature": None}):
        request = plain | extra
        assert_equal(part.request_key(request), None, f"the key of {request}")
        assert_equal(part.request_key(request | {"seed": None}), None, "the key with the seed None")
        for seed in (0, 5):
            if part.request_key(request | {"seed": seed}) is None:
                raise CheckFailure(f"{request} with the seed {seed} has no key: the draw is fixed")
    for bad in (math.nan, math.inf):
        call = partial(part.request_key, GREEDY | {"top_p": bad})
        assert_raises(ValueError, call, f"a number is {bad}")


def check_get_and_put(part: ModuleType) -> None:
    """get gives what was put, and put replaces"""
    cache = part.ResponseCache(max_bytes=1000, ttl=60.0, clock=Clock())
    assert_equal(cache.get("a"), None, "get of a key that was never put")
    cache.put("a", b"first")
    cache.put("b", b"")
    assert_equal(cache.get("a"), b"first", "get of what was put")
    assert_equal(cache.get("b"), b"", "get of an empty answer")
    cache.put("a", b"2nd")
    assert_equal(cache.get("a"), b"2nd", "get of what was put anew")
    assert_equal([len(cache), cache.bytes_held], [2, 1 + 3 + 1], "the number of answers, and bytes")
    cache.put("ü", b"12345")
    assert_equal(cache.bytes_held, 12, "the bytes with a key of two bytes and an answer of five")


def check_time_to_live(part: ModuleType) -> None:
    """An answer ends after ttl seconds, used or not, and its bytes are free"""
    clock = Clock(1000.0)
    cache = part.ResponseCache(max_bytes=1000, ttl=10.0, clock=clock)
    cache.put("a", b"answer")
    clock.now = 1009.75
    assert_equal(cache.get("a"), b"answer", "get a quarter of a second before its end")
    clock.now = 1010.0
    assert_equal(cache.get("a"), None, "get after ttl seconds, although it was used meanwhile,")
    assert_equal([len(cache), cache.bytes_held], [0, 0], "the number of answers, and bytes, then")
    cache.put("a", b"new")
    clock.now = 1019.0
    cache.put("a", b"newer")
    clock.now = 1028.0
    assert_equal(cache.get("a"), b"newer", "get 9 s after it was put anew")
    kept = part.ResponseCache(max_bytes=1000, ttl=math.inf, clock=clock)
    kept.put("a", b"answer")
    clock.now = 1e12
    assert_equal(kept.get("a"), b"answer", "get after 30,000 years with an infinite ttl")


def check_least_recently_used(part: ModuleType) -> None:
    """Random gets and puts, against a list in the order of use"""
    rng = random.Random(0)
    for case in range(20):
        limit = rng.choice([30, 100])
        steps: list[tuple[str, str, bytes, object, int, int]] = []
        used: list[tuple[str, bytes]] = []  # the latest last
        for _ in range(200):
            key, answer = f"k{rng.randint(0, 9)}", b"x" * rng.choice([0, 3, 8, 15, 28, 29, 40])
            act = rng.choice(["get", "put"])
            held = dict(used)
            got: object = held.get(key) if act == "get" else None
            if key in held:
                used.remove((key, held[key]))
                if act == "get":
                    used.append((key, held[key]))
            if act == "put" and 2 + len(answer) <= limit:
                used.append((key, answer))
                while sum(len(k) + len(a) for k, a in used) > limit:
                    used.pop(0)
            total = sum(len(k) + len(a) for k, a in used)
            steps.append((act, key, answer, got, len(used), total))
        cache = part.ResponseCache(max_bytes=limit, ttl=1.0, clock=Clock())
        for number, (act, key, answer, got, count, total) in enumerate(steps):
            what = f"case {case} (max_bytes {limit}), step {number}, {act} {key}"
            if act == "get":
                assert_equal(cache.get(key), got, f"{what}: the answer")
            else:
                cache.put(key, answer)
            assert_equal([len(cache), cache.bytes_held], [count, total], f"{what}: answers, bytes")


def check_computed_once(part: ModuleType) -> None:
    """Equal requests at one time are computed once, and later ones not at all"""

    async def scenario() -> None:
        engine, other = Engine(), Engine()
        cache = part.ResponseCache(max_bytes=1000, ttl=60.0, clock=Clock())
        calls = [asyncio.create_task(cache.get_or_compute("a", engine)) for _ in range(20)]
        elsewhere = asyncio.create_task(cache.get_or_compute("b", other))
        await turns()
        assert_equal(engine.started, 1, "computations started by 20 equal requests at one time")
        assert_equal(other.started, 1, "computations started by a request with another key")
        engine.go.set()
        results = await asyncio.gather(*calls)
        assert_equal(results, [(b"answer 1", False)] * 20, "the list of their results")
        assert_equal(await cache.get_or_compute("a", engine), (b"answer 1", True), "a later result")
        assert_equal(cache.get("a"), b"answer 1", "what get gives then")
        assert_equal(engine.started, 1, "computations after a later request")
        assert_equal(elsewhere.done(), False, "whether the other request, not let go, is done")
        other.go.set()
        assert_equal(await elsewhere, (b"answer 1", False), "the result of the other request")

    run(scenario)


def check_errors_are_not_kept(part: ModuleType) -> None:
    """A computation that fails gives its error to all who wait, and the next request a new one"""

    async def scenario() -> None:
        engine = Engine()
        engine.error = ConnectionError("the replica is gone")
        cache = part.ResponseCache(max_bytes=1000, ttl=60.0, clock=Clock())
        calls = [asyncio.create_task(cache.get_or_compute("a", engine)) for _ in range(3)]
        await turns()
        engine.go.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if not isinstance(result, ConnectionError):
                raise CheckFailure(
                    f"a caller got {result!r}: expected the error of the computation"
                )
        assert_equal(engine.started, 1, "computations, of which the one failed,")
        assert_equal(len(cache), 0, "the number of answers after an error")
        engine.error = None
        result = await cache.get_or_compute("a", engine)
        assert_equal(result, (b"answer 2", False), "the result of the next request")

    run(scenario)


def check_a_new_call_right_after_an_error(part: ModuleType) -> None:
    """SingleFlight: a call made as soon as an error is there computes afresh"""

    async def scenario() -> None:
        flights = part.SingleFlight()
        attempts = 0

        async def compute() -> bytes:
            nonlocal attempts
            attempts += 1
            await asyncio.sleep(0)
            if attempts == 1:
                raise ConnectionError("the replica is gone")
            return b"answer"

        async def persistent() -> bytes:
            with suppress(ConnectionError):
                return bytes(await flights.run("a", compute))
            return bytes(await flights.run("a", compute))

        results = await asyncio.gather(*[persistent() for _ in range(5)])
        assert_equal(results, [b"answer"] * 5, "the list of results of the second attempts")
        assert_equal(attempts, 2, "computations for five callers who each try twice")

    run(scenario)


def check_a_cancelled_leader(part: ModuleType) -> None:
    """The first caller's cancellation stops nobody else, and the last one's the computation"""

    async def scenario() -> None:
        engine = Engine()
        cache = part.ResponseCache(max_bytes=1000, ttl=60.0, clock=Clock())
        calls = [asyncio.create_task(cache.get_or_compute("a", engine)) for _ in range(3)]
        await turns()
        calls[0].cancel()
        calls[2].cancel()
        await turns()
        assert_equal([call.cancelled() for call in calls], [True, False, True], "who is cancelled")
        assert_equal(engine.cancelled, 0, "computations cancelled while one caller waits")
        engine.go.set()
        assert_equal(await calls[1], (b"answer 1", False), "the result of the one who waited")
        assert_equal(engine.started, 1, "computations")
        assert_equal(cache.get("a"), b"answer 1", "what get gives then")

    run(scenario)


def check_all_cancelled(part: ModuleType) -> None:
    """When every caller is cancelled the computation is, and a new call does not join it"""

    async def scenario() -> None:
        engine = Engine()
        cache = part.ResponseCache(max_bytes=1000, ttl=60.0, clock=Clock())
        calls = [asyncio.create_task(cache.get_or_compute("a", engine)) for _ in range(3)]
        await turns()
        for call in calls:
            call.cancel()
        after = asyncio.create_task(cache.get_or_compute("a", engine))
        await turns()
        assert_equal([call.cancelled() for call in calls], [True] * 3, "who is cancelled")
        # The one that came while they were being cancelled may have joined, or begun its own.
        assert_equal(engine.started - engine.cancelled, 1, "computations under way for the last")
        after.cancel()
        await turns()
        assert_equal(engine.started - engine.cancelled, 0, "computations under way for nobody")
        engine.go.set()
        await turns()
        assert_equal([engine.finished, len(cache)], [0, 0], "computations finished, answers kept")
        result = await cache.get_or_compute("a", engine)
        assert_equal(result[1], False, "whether the next request was answered from the cache")

    run(scenario)


def check_bad_sizes(part: ModuleType) -> None:
    """max_bytes and ttl must be positive"""
    for bad in (0, -1, math.nan):
        call = partial(part.ResponseCache, max_bytes=bad, ttl=1.0)
        assert_raises(ValueError, call, f"max_bytes is {bad}")
        call = partial(part.ResponseCache, max_bytes=1, ttl=bad)
        assert_raises(ValueError, call, f"ttl is {bad}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many gets and puts in a cache of a tenth of the answers."""
    rng = random.Random(0)
    keys = [f"{rng.randrange(size):064x}" for _ in range(size)]
    cache = part.ResponseCache(max_bytes=size * 16, ttl=60.0, clock=Clock())

    def traffic() -> None:
        for key in keys:
            if cache.get(key) is None:
                cache.put(key, b"x" * 96)

    return traffic


SIZE = 10_000
