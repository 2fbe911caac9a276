"""What a blocking iterator yields, for the event loop, as it comes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

__all__ = ["from_thread"]

T = TypeVar("T")


async def from_thread(iterate: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Run an iterator in a thread of its own, to its end, also when nobody listens any more."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[list[T]] = asyncio.Queue()  # lists of one; an empty one ends it

    def run() -> None:
        try:
            for item in iterate():
                loop.call_soon_threadsafe(queue.put_nowait, [item])
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, [])

    running = asyncio.ensure_future(asyncio.to_thread(run))
    while item := await queue.get():
        yield item[0]
    await running  # raises what it raised
