"""A load-generating HTTP client that costs little: it shares the processor with what it measures.

Requests are bytes made beforehand, over keep-alive connections; an answer is read only as far as it
takes to know its end and whether it is complete. Latency counts from the moment when a request was
meant to be sent: when the server falls behind, waiting for a connection is part of it (Tene's
"coordinated omission" is what happens otherwise).
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import cast

__all__ = ["Client", "Outcome", "post"]


def post(host: str, path: str, body: bytes) -> bytes:
    """The bytes of a request with a JSON body."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


@dataclass(slots=True, eq=False)
class Outcome:
    """What became of a request. Times are of `time.perf_counter`, in seconds."""

    request: bytes
    intended: float  # when it was meant to be sent
    first: float = 0.0  # when the first byte of the answer's body came
    end: float = 0.0
    failure: str | None = None  # its kind


class Client:
    """Sends requests in an open or a closed loop. Made and used in one event loop."""

    def __init__(
        self, host: str, port: int, *, connections: int, deadline: float = 30.0, expected: bytes
    ) -> None:
        """``connections``: the most at a time; further requests wait for one, and that counts.

        Args:
            deadline: seconds from the intended time after which a request has failed.
            expected: what the body of a complete answer contains, once its spaces are removed.
        """
        self.deadline = deadline
        self.expected = expected
        self._address = host, port
        self._limit = connections
        self._open = 0
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[Outcome] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._unfinished = 0
        self._finished = asyncio.Event()
        self._next: Iterator[bytes] = iter(())  # of a closed loop
        self._end = 0.0
        self._outcomes: list[Outcome] = []

    async def open_loop(
        self, requests: Iterable[bytes], arrivals: Iterable[float]
    ) -> list[Outcome]:
        """Send each request at its arrival, in seconds from now, whatever became of the others."""
        start = perf_counter()
        watch = asyncio.create_task(self._watch())
        for arrival, request in zip(arrivals, requests, strict=False):
            await asyncio.sleep(max(0.0, start + arrival - perf_counter()))
            self._unfinished += 1
            self._send(request, start + arrival)
        return await self._finish(watch)

    async def closed_loop(
        self, requests: Iterator[bytes], concurrency: int, seconds: float
    ) -> list[Outcome]:
        """Keep so many requests on their way; each that ends is followed by the next."""
        self._next, self._end = requests, perf_counter() + seconds
        watch = asyncio.create_task(self._watch())
        for request in itertools.islice(requests, concurrency):
            self._unfinished += 1
            self._send(request, perf_counter())
        return await self._finish(watch)

    def close(self) -> None:
        """Close the connections."""
        for connection in [*self._idle, *self._busy]:
            connection.transport.abort()

    async def _finish(self, watch: asyncio.Task[None]) -> list[Outcome]:
        self._finished.clear()
        try:
            if self._unfinished:
                await self._finished.wait()
        finally:
            watch.cancel()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    async def _watch(self) -> None:
        """End what takes too long. One look at all of them costs less than a timer for each."""
        while True:
            await asyncio.sleep(0.25)
            oldest = perf_counter() - self.deadline
            while self._waiting and self._waiting[0].intended < oldest:
                self._ended(self._waiting.popleft(), "timed out")
            for connection in list(self._busy):
                if connection.outcome is not None and connection.outcome.intended < oldest:
                    connection.give_up("timed out")

    def _send(self, request: bytes, intended: float) -> None:
        outcome = Outcome(request, intended)
        if self._idle:
            self._start(self._idle.pop(), outcome)
        else:
            self._waiting.append(outcome)
            self._connect_where_needed()

    def _connect_where_needed(self) -> None:
        if self._waiting and self._open < self._limit:
            self._open += 1
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await asyncio.wait_for(
                loop.create_connection(lambda: _Connection(self), *self._address), self.deadline
            )
        except (OSError, TimeoutError) as error:
            await asyncio.sleep(0.05)  # who is not there is not asked without a pause
            self._open -= 1
            if self._waiting:
                self._ended(self._waiting.popleft(), f"cannot connect: {type(error).__name__}")
            self._connect_where_needed()
        else:
            self._free(connection)

    def _start(self, connection: "_Connection", outcome: Outcome) -> None:
        self._busy.add(connection)
        connection.start(outcome)

    def _free(self, connection: "_Connection") -> None:
        if self._waiting:
            self._start(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _ended(self, outcome: Outcome, failure: str | None) -> None:
        outcome.end, outcome.failure = perf_counter(), failure
        self._outcomes.append(outcome)
        self._unfinished -= 1
        if outcome.end < self._end and (request := next(self._next, None)) is not None:
            self._unfinished += 1
            # Not from within the last one, which may have failed at once, as the next may.
            asyncio.get_running_loop().call_soon(self._send, request, outcome.end)
        if not self._unfinished:
            self._finished.set()

    # What a connection tells.

    def answered(self, connection: "_Connection", outcome: Outcome, failure: str | None) -> None:
        self._busy.discard(connection)
        self._free(connection)
        self._ended(outcome, failure)

    def lost(self, connection: "_Connection", outcome: Outcome | None, failure: str) -> None:
        self._open -= 1
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if outcome is not None:
            self._ended(outcome, failure)
        self._connect_where_needed()


class _Connection(asyncio.Protocol):
    """One request at a time. Knows of HTTP/1.1 what answers of JSON and event streams use."""

    transport: asyncio.Transport

    def __init__(self, client: Client) -> None:
        self._client = client
        self.outcome: Outcome | None = None
        self._lost = False
        self._received = b""
        self._body = 0  # where it begins, or 0: the head is not complete
        self._length = -1  # of head and body; -1 for chunks, whose end is an empty one

    def start(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._received, self._body = b"", 0
        self.transport.write(outcome.request)

    def give_up(self, failure: str) -> None:
        if not self._lost:
            self._lost = True
            outcome, self.outcome = self.outcome, None
            self._client.lost(self, outcome, failure)
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up("connection lost")

    def data_received(self, data: bytes) -> None:
        outcome = self.outcome
        if outcome is None:
            return
        self._received += data
        if not self._body:
            head_end = self._received.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._body = head_end + 4
            head = self._received[:head_end].lower()
            self._length = -1
            if (at := head.find(b"content-length:")) >= 0:
                self._length = self._body + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if not outcome.first and len(self._received) > self._body:
            outcome.first = perf_counter()
        if self._length < 0:
            if not self._received.endswith(b"0\r\n\r\n"):
                return
        elif len(self._received) < self._length:
            return
        self.outcome = None
        self._client.answered(self, outcome, self._failure())

    def _failure(self) -> str | None:
        status = self._received[9:12]
        if status != b"200":
            return f"status {status.decode()}"
        complete = self._client.expected in self._received[self._body :].replace(b" ", b"")
        return None if complete else "incomplete answer"
