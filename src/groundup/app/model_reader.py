"""Asks the process that looks into models (`reading_worker`). It runs only while it is wanted."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

import msgspec

from groundup.app.reading_order import (
    AttentionMap,
    Failed,
    Found,
    PictureOrder,
    Reading,
    ReadingOrder,
    Source,
)
from groundup.errors import GroundupError

__all__ = ["ModelReader"]

PATIENCE = 300.0  # seconds for one answer; the model may have to be loaded from a slow disk
IDLE = 300.0  # seconds without an order, after which the process gives its memory back
LARGEST = 64 << 20  # bytes of an answer

Answer = Reading | AttentionMap | Found
decode = msgspec.json.Decoder(Answer | Failed).decode


class ModelReader:
    """One process for the whole app, which answers one order after the other."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None
        self._asked: set[asyncio.Task[Answer]] = set()

    async def reading(self, source: Source) -> Reading:
        """What a model makes of a text.

        Raises:
            GroundupError: the model cannot be loaded, or the text not read; says why.
        """
        answer = await self._ask(ReadingOrder(source))
        assert isinstance(answer, Reading)
        return answer

    async def attention(self, source: Source, layer: int, head: int) -> AttentionMap:
        """Where one head looks. Errors as of `reading`."""
        answer = await self._ask(ReadingOrder(source, (layer, head)))
        assert isinstance(answer, AttentionMap)
        return answer

    async def picture(
        self, model: str, picture: str, values: dict[str, str | float]
    ) -> dict[str, Any]:
        """What a lesson's picture shows of a model.

        Raises:
            GroundupError: the model cannot be loaded, or the picture not computed; says why.
        """
        answer = await self._ask(PictureOrder(model, picture, values))
        assert isinstance(answer, Found)
        return answer.values

    async def close(self) -> None:
        """End the process. Who still waits gets a GroundupError."""
        if self._ending is not None:
            self._ending.cancel()
        while self._asked or self._process is not None:
            await self._end()
            await asyncio.sleep(0)
        async with self._turn:  # another may be waiting for its end
            pass

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, order: ReadingOrder | PictureOrder) -> Answer:
        """An answer. It is waited for even where the caller leaves: it would be the next one's."""
        task = asyncio.create_task(self._answer(order))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def _answer(self, order: ReadingOrder | PictureOrder) -> Answer:
        async with self._turn:
            if self._ending is not None:
                self._ending.cancel()
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "groundup.app.reading_worker",
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                    limit=LARGEST, start_new_session=True,
                )  # fmt: skip
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            line = b""
            try:
                process.stdin.write(msgspec.json.encode(order) + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            except (ConnectionError, TimeoutError):
                pass
            if not line:  # it died, or hangs: the next one is new
                await self._end()
                raise GroundupError(
                    "the process that looks into models ended: there may be too little memory for "
                    "a second copy of the model"
                )
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(IDLE, lambda: loop.create_task(self._rest()))
        answer: Answer | Failed = decode(line)
        if isinstance(answer, Failed):
            raise GroundupError(answer.reason)
        return answer

    async def _rest(self) -> None:
        async with self._turn:
            await self._end()
