"""The exact answer cache: equal requests are answered once, and the answer is kept for a while."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from hashlib import sha256
from typing import Any

__all__ = ["ResponseCache", "SingleFlight", "request_key"]

# Fields of a request that change nothing in the answer's content.
WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
    }
)


def request_key(request: Mapping[str, Any]) -> str | None:
    """The key under which the answer to a request may be kept.

    Two requests have the same key exactly if they ask for the same. At the top, the fields of
    `WITHOUT_EFFECT` do not count, and a field that is None counts as absent. Throughout, the order
    of an object's fields does not count, and numbers count by their value: 1 is 1.0, and neither is
    true.

    A request that draws at random has no key, unless a seed fixes the draw: its user wants another
    answer each time. It draws if its ``temperature`` is not 0; without one, the temperature is 1.

    Args:
        request: what JSON can hold, such as the body of an OpenAI chat completion; not changed.

    Returns:
        The SHA-256 digest, in hexadecimal, of what counts as JSON: fields sorted, no spaces, whole
        numbers without a fraction, and escapes for all that is not ASCII. Or None.

    Raises:
        ValueError: a number is not finite.

    Source: RFC 8785, sections 3.2.2.3 and 3.2.3, whose idea this is; its form is our own.
    """
    asked = {
        name: value
        for name, value in request.items()
        if name not in WITHOUT_EFFECT and value is not None
    }
    if asked.get("temperature", 1) != 0 and "seed" not in asked:
        return None
    text = json.dumps(_canonical(asked), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    return value


class SingleFlight:
    """Calls for one key that come while it is being computed wait for that one result.

    The computation is a task of its own, so a caller who is cancelled, the first one too, stops
    nobody else. It is cancelled when all its callers are. If it fails, all who waited get its
    error; nothing of it remains, and the next call computes afresh.

    For one event loop; calls come from its tasks.

    Source: Go's golang.org/x/sync/singleflight, whose term this is.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        """The result of ``compute()``, or of another's that is under way for this key.

        Args:
            key: equal keys must stand for equal results.
            compute: called at most once, and before anything is awaited.

        Raises:
            Exception: what the computation raised.
        """
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = _Flight(asyncio.create_task(compute()))
        flight.callers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.callers -= 1
            if not flight.callers:
                flight.task.cancel()  # changes nothing once it is done
                if self._flights.get(key) is flight:
                    del self._flights[key]


class _Flight:
    def __init__(self, task: asyncio.Task[bytes]) -> None:
        self.task = task
        self.callers = 0


class ResponseCache:
    """Answers by key, within a number of bytes: the least recently used leave first.

    An answer is kept for ``ttl`` seconds from when it was put, however often it is used.
    """

    def __init__(
        self, *, max_bytes: int, ttl: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make an empty cache.

        Args:
            max_bytes: of the answers and their keys in UTF-8, together.
            ttl: seconds for which an answer is kept, above 0; infinity is for ever.
            clock: gives seconds from any beginning.

        Raises:
            ValueError: max_bytes or ttl is not positive.
        """
        for name, value in (("max_bytes", max_bytes), ("ttl", ttl)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._clock = clock
        # In the order of use, the latest last: each answer with the time at which it ends.
        self._answers: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._flights = SingleFlight()

    def __len__(self) -> int:
        """How many answers are held; those whose time is over count until they are come upon."""
        return len(self._answers)

    @property
    def bytes_held(self) -> int:
        """Bytes of all answers and keys held, at most ``max_bytes``."""
        return self._bytes

    def get(self, key: str) -> bytes | None:
        """The answer kept for a key, which is then the most recently used; None if there is none.

        It is there while less than ``ttl`` seconds have passed since it was put.
        """
        if key not in self._answers:
            return None
        answer, ends = self._answers[key]
        if self._clock() >= ends:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer, in place of an earlier one of this key, as the most recently used.

        The least recently used make room. An answer that alone exceeds ``max_bytes`` is not kept,
        and nothing leaves for it but an earlier one of this key.
        """
        if key in self._answers:
            self._drop(key)
        size = _size(key, answer)
        if size > self._max_bytes:
            return
        while self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._answers)))
        self._answers[key] = answer, self._clock() + self._ttl
        self._bytes += size

    async def get_or_compute(
        self, key: str, compute: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """The answer kept for a key, or the one that is now computed, and then kept.

        Calls for the same key that come meanwhile wait for the same computation (`SingleFlight`).
        An error is not kept.

        Returns:
            The answer, and whether it was kept from before.

        Raises:
            Exception: what the computation raised.
        """
        if (answer := self.get(key)) is not None:
            return answer, True

        async def fill() -> bytes:
            computed = await compute()
            self.put(key, computed)
            return computed

        return await self._flights.run(key, fill), False

    def _drop(self, key: str) -> None:
        answer, _ = self._answers.pop(key)
        self._bytes -= _size(key, answer)


def _size(key: str, answer: bytes) -> int:
    return len(key.encode()) + len(answer)
