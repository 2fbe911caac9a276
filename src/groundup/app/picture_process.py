"""Asks the process that computes pictures, and starts it when it is wanted."""

import asyncio
import json
import sys
from contextlib import suppress
from typing import Any

from groundup.errors import GroundupError

__all__ = ["PictureProcess"]

ANSWER_LIMIT = 180.0  # seconds; the first request loads the model
IDLE = 600.0  # seconds without a request, then the process ends: it holds a model in memory
LINE = 16 << 20  # bytes of an answer


class PictureProcess:
    """One process for all pages, which answers one request after the other."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.Task[None] | None = None

    async def ask(self, model: str, picture: str, values: dict[str, str | float]) -> dict[str, Any]:
        """What a picture's ``compute`` finds.

        Raises:
            GroundupError: it cannot be computed; says why.
        """
        request = {"model": model, "picture": picture, "values": values}
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                answer = await asyncio.wait_for(self._answer(request), ANSWER_LIMIT)
            except BaseException as error:
                await self._end()  # its answer would be taken for the next one's
                if isinstance(error, TimeoutError):
                    raise GroundupError(f"the picture took more than {ANSWER_LIMIT:g} s") from None
                raise
            self._idle = asyncio.create_task(self._end_when_idle())
        if "error" in answer:
            raise GroundupError(str(answer["error"]))
        found: dict[str, Any] = answer["found"]
        return found

    async def close(self) -> None:
        """End the process."""
        if self._idle is not None:
            self._idle.cancel()
        await self._end()

    async def _end_when_idle(self) -> None:
        await asyncio.sleep(IDLE)
        async with self._turn:
            await self._end()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "groundup.app.picture_worker",
                stdin=asyncio.subprocess.PIPE,  # its end is ours
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the app
                limit=LINE,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        with suppress(ConnectionError):  # told below
            await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise GroundupError("the process that computes pictures ended: try again")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()  # its pipes are closed as well
