"""The answer cache: its bounds under random use, and single flight under random cancellation."""

import asyncio
import gc
from collections import Counter
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from groundup.course.grader.clock import Clock
from groundup.serving.response_cache import ResponseCache, SingleFlight


class CacheMachine(RuleBasedStateMachine):
    """Never more bytes than allowed, never an answer too old or of another key."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = ResponseCache(max_bytes=50, ttl=10.0, clock=self.clock)
        self.put_last: dict[str, tuple[bytes, float]] = {}

    @rule(key=st.sampled_from("abcdefü"), size=st.integers(0, 60), fill=st.binary(max_size=1))
    def put(self, key: str, size: int, fill: bytes) -> None:
        answer = (fill * size)[:size]
        self.cache.put(key, answer)
        self.put_last[key] = answer, self.clock.now
        fits = len(key.encode()) + len(answer) <= 50
        assert self.cache.get(key) == (answer if fits else None)

    @rule(key=st.sampled_from("abcdefü"))
    def get(self, key: str) -> None:
        answer = self.cache.get(key)
        if answer is not None:
            last, then = self.put_last[key]
            assert answer == last
            assert self.clock.now - then < 10

    @rule(seconds=st.sampled_from([1.0, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_bytes_are_counted_and_bounded(self) -> None:
        assert 0 <= self.cache.bytes_held <= 50
        assert len(self.cache) <= 50
        assert (len(self.cache) == 0) == (self.cache.bytes_held == 0)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["call", "call", "cancel", "succeed", "fail", "turn"]),
            st.integers(0, 30),
        ),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_one_computation_at_a_time_and_none_for_nobody(acts: list[tuple[str, int]]) -> None:
    under_way: list[tuple[str, asyncio.Future[bytes]]] = []
    complaints: list[object] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        flights = SingleFlight()
        callers: list[tuple[str, asyncio.Task[bytes]]] = []
        told: set[asyncio.Task[bytes]] = set()  # to go away

        async def compute(key: str) -> bytes:
            future: asyncio.Future[bytes] = loop.create_future()
            under_way.append((key, future))
            try:
                return await future
            finally:
                under_way.remove((key, future))

        async def settle() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        for act, number in acts:
            key = "ab"[number % 2]
            if act == "call":
                flight = flights.run(key, partial(compute, key))
                callers.append((key, asyncio.create_task(flight)))
            elif act == "cancel" and callers:
                call = callers[number % len(callers)][1]
                call.cancel()
                told.add(call)
            elif act in ("succeed", "fail") and under_way:
                future = under_way[number % len(under_way)][1]
                if not future.done():
                    if act == "succeed":
                        future.set_result(b"answer")
                    else:
                        future.set_exception(ConnectionError("gone"))
            else:
                await settle()
                waiting = {key for key, call in callers if not call.done()}
                computing = Counter(key for key, _ in under_way)
                assert computing == Counter(waiting)  # one for each key that is waited for
        await settle()
        assert {call for _, call in callers if call.cancelled()} <= told
        for _, call in callers:
            call.cancel()
        await asyncio.gather(*[call for _, call in callers], return_exceptions=True)
        await settle()
        assert under_way == []

    asyncio.run(scenario())
    gc.collect(0)  # what this example left
    assert complaints == []  # no error that nobody took
