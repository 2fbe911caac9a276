"""How many tokens a request took: as its answer says it, and as its key is charged."""

from contextvars import ContextVar

import msgspec
from msgspec import Struct

__all__ = ["Spent", "Usage", "count_tokens", "estimated_tokens", "spending"]

UNLIMITED_ANSWER = 256  # tokens set aside for an answer whose length the request does not limit


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Spent:
    """The tokens that one request has taken so far."""

    tokens = 0


# Of the request that the running task works on. Whoever learns of tokens counts them there.
spending: ContextVar[Spent | None] = ContextVar("spending", default=None)


def count_tokens(tokens: int) -> None:
    """Charge the present request, if it is charged at all."""
    if (spent := spending.get()) is not None:
        spent.tokens += tokens


class _Lengths(Struct):
    """What of a request's body says how long its answer may become."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


_lengths = msgspec.json.Decoder(_Lengths)


def estimated_tokens(body: bytes) -> int:
    """About how many tokens a request will take, before it is known: 4 bytes to a token.

    A body that is not as it should be is refused later; here it counts by its length.
    """
    prompt = len(body) // 4
    try:
        lengths = _lengths.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return prompt
    limits = (lengths.max_tokens, lengths.max_completion_tokens, lengths.max_output_tokens)
    answer = next((limit for limit in limits if limit is not None), UNLIMITED_ANSWER)
    return prompt + max(0, answer) * max(1, lengths.n or 1)
