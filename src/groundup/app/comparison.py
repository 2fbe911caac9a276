"""One prompt to several models at once, side by side."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from groundup.app.chat_completions import chat_completion, client_session
from groundup.app.model_server import Endpoint
from groundup.errors import GroundupError

__all__ = ["Contender", "compare"]


@dataclass
class Contender:
    """A model's answer, as it grows."""

    model: str
    state: Literal["loading", "reading", "writing", "complete", "stopped", "failed"] = "loading"
    text: str = ""
    tokens: int = 0
    first: float | None = None  # seconds from the question to the first token
    seconds: float = 0.0  # from the first token to the last
    reason: str = ""  # why it failed

    @property
    def rate(self) -> float | None:
        """Tokens a second, after the first."""
        return (self.tokens - 1) / self.seconds if self.tokens > 1 and self.seconds > 0 else None


async def compare(
    contenders: list[Contender],
    endpoint: Callable[[str], Awaitable[Endpoint]],
    prompt: str,
    sampling: Mapping[str, Any],
    changed: Callable[[Contender], None],
) -> None:
    """Ask all of them when all are loaded, so that none waits for another's start.

    Cancelled, those that still write are marked as stopped.
    """
    endpoints = await asyncio.gather(
        *(loaded(contender, endpoint, changed) for contender in contenders)
    )
    ready = [
        (contender, where)
        for contender, where in zip(contenders, endpoints, strict=True)
        if where is not None
    ]
    async with client_session() as session:

        async def ask(contender: Contender, where: Endpoint) -> None:
            contender.state = "reading"
            changed(contender)
            messages = [{"role": "user", "content": prompt}]
            start = time.perf_counter()
            try:
                async with aclosing(chat_completion(session, where, messages, sampling)) as pieces:
                    async for piece in pieces:
                        now = time.perf_counter()
                        if piece.text:
                            contender.state = "writing"
                            contender.text += piece.text
                            if contender.first is None:
                                contender.first = now - start
                            contender.seconds = now - start - contender.first
                        contender.tokens = piece.tokens or contender.tokens + bool(piece.text)
                        changed(contender)
                contender.state = "complete"
            except asyncio.CancelledError:
                contender.state = "stopped"
                raise
            except GroundupError as error:
                contender.state, contender.reason = "failed", str(error)
            finally:
                changed(contender)

        await asyncio.gather(*(ask(contender, where) for contender, where in ready))


async def loaded(
    contender: Contender,
    endpoint: Callable[[str], Awaitable[Endpoint]],
    changed: Callable[[Contender], None],
) -> Endpoint | None:
    """Where it answers; None where that cannot be had."""
    changed(contender)
    try:
        return await endpoint(contender.model)
    except asyncio.CancelledError:
        contender.state = "stopped"
        raise
    except GroundupError as error:
        contender.state, contender.reason = "failed", str(error)
        return None
    finally:
        changed(contender)
