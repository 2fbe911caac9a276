"""Log-probabilities of tokens, in the forms of the chat and the completion interface."""

from collections.abc import Iterable

from msgspec import Struct

from groundup.serving.answer_text import PlacedToken
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = [
    "ChatLogprobs",
    "CompletionLogprobs",
    "TokenLogprob",
    "TopLogprob",
    "completion_logprobs",
    "token_logprobs",
]

# JSON has no infinity; OpenAI writes this for tokens that cannot come.
NEVER = -9999.0


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Struct):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(Struct):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def token_logprobs(tokens: Iterable[PlacedToken], tokenizer: Tokenizer) -> list[TokenLogprob]:
    """As chats have it: each token's text and bytes, and the most likely ones in its place."""
    result = []
    for placed in tokens:
        token = placed.token
        raw = tokenizer.bytes_of(token.id)
        top = []
        for other, logprob in token.top_logprobs:
            other_raw = tokenizer.bytes_of(other)
            top.append(
                TopLogprob(other_raw.decode(errors="replace"), bounded(logprob), list(other_raw))
            )
        result.append(
            TokenLogprob(raw.decode(errors="replace"), bounded(token.logprob), list(raw), top)
        )
    return result


def completion_logprobs(tokens: Iterable[PlacedToken], tokenizer: Tokenizer) -> CompletionLogprobs:
    """As completions have it.

    Tokens with the same text, as parts of characters are, share one entry: the likelier.
    """
    result = CompletionLogprobs([], [], [], [])
    for placed in tokens:
        token = placed.token
        result.tokens.append(tokenizer.decode([token.id]))
        result.token_logprobs.append(bounded(token.logprob))
        top: dict[str, float] = {}
        for other, logprob in token.top_logprobs:
            top.setdefault(tokenizer.decode([other]), bounded(logprob))
        result.top_logprobs.append(top)
        result.text_offset.append(placed.start)
    return result


def bounded(logprob: float | None) -> float:
    return NEVER if logprob is None else max(logprob, NEVER)
