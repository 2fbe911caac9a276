"""What the HTTP interface needs of an engine."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from groundup.engine.request import EngineStats, Request, Token
from groundup.engine.step_log import EngineView
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["AsyncEngine", "ReportsStats", "ShowsInside", "TokenStream"]


class TokenStream(Protocol):
    """New tokens as they come, usually one at a time; an asynchronous generator is one."""

    def __aiter__(self) -> AsyncIterator[list[Token]]: ...

    def aclose(self) -> Awaitable[None]:
        """Cancel what is left, and free what it held at once."""


class AsyncEngine(Protocol):
    """Continues prompts, many at a time."""

    model_name: str
    context: int  # tokens of prompt and answer together
    tokenizer: Tokenizer

    @property
    def adapters(self) -> Mapping[str, str]:
        """Other names that it answers under, and the folders of their LoRA adapters."""

    def generate(self, request: Request) -> TokenStream:
        """The answer's tokens. The last one bears the finish reason.

        Raises, before the first token: GroundupError, the prompt does not fit or the constraint
        is not possible.
        """

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """One vector for each prompt, (n, dim)."""

    def ready(self) -> bool:
        """Whether requests are answered."""


@runtime_checkable
class ReportsStats(Protocol):
    """An engine that also reports figures."""

    def stats(self) -> EngineStats: ...


@runtime_checkable
class ShowsInside(Protocol):
    """An engine that lets one look into it."""

    async def views(self) -> dict[str, EngineView]:
        """What there is to see of each process that runs, by its name."""
