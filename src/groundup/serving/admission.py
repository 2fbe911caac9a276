"""How many requests are worked on at once, how many may wait, and for how long."""

import asyncio
from collections import deque

from groundup.serving.api_error import ApiError

__all__ = ["Admission"]


class Admission:
    """First come, first served, with an end to waiting.

    A request takes as many places as it has answers, at most all of them. Rather than wait without
    limit, a request is refused: at once when too many wait already, or when its time is up.
    """

    def __init__(self, places: int, waiting_limit: int, deadline: float) -> None:
        """Arguments:
        places: answers that the engine works on at once.
        waiting_limit: requests that may wait for a place.
        deadline: seconds that each of them waits at most.
        """
        self.places = places
        self.waiting_limit = waiting_limit
        self.deadline = deadline
        self.running = 0  # places taken
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    async def enter(self, answers: int) -> int:
        """Take the places of a request with so many answers; returns how many, for `leave`.

        Raises:
            ApiError: too many wait already (429), or the deadline has passed (503).
        """
        size = min(answers, self.places)
        if not self._queue and self.running + size <= self.places:
            self.running += size
            return size
        if len(self._queue) >= self.waiting_limit:
            raise ApiError(
                429,
                f"{len(self._queue)} requests are waiting already: ask again later",
                code="queue_full",
                retry_after=max(1, round(self.deadline / 2)),
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self.deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave(size)  # its turn came at the moment when it gave up
            else:
                self._queue.remove(entry)
                self._admit()
            if isinstance(error, TimeoutError):
                raise ApiError(
                    503,
                    f"no place became free within {self.deadline:g} seconds: ask again later",
                    code="queue_timeout",
                    retry_after=max(1, round(self.deadline)),
                ) from None
            raise
        return size

    def leave(self, size: int) -> None:
        """Give places back, to those who wait."""
        self.running -= size
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.running + self._queue[0][0] <= self.places:
            size, turn = self._queue.popleft()
            if turn.cancelled():
                continue
            self.running += size
            turn.set_result(None)
