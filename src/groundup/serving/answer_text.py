"""One answer's tokens to text: bytes to characters, stop strings, what each token said."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from groundup.engine.request import Request, Token
from groundup.serving.api_error import ApiError
from groundup.serving.stop_strings import StopStrings
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["AnswerText", "Piece", "PlacedToken"]


@dataclass(slots=True)
class PlacedToken:
    """A token and the characters of the answer that it completes: from ``start`` to ``end``."""

    token: Token
    start: int
    end: int


@dataclass(slots=True)
class Piece:
    """What became certain of an answer: text, the tokens that it came from, perhaps the end."""

    text: str
    tokens: list[PlacedToken] = field(default_factory=list)  # only where logprobs are asked for
    finish_reason: Literal["stop", "length"] | None = None


class AnswerText:
    """Takes tokens and gives pieces; after a piece with a finish reason there are no more.

    Special tokens stand for no text. A token is in the piece that shows its last character, so
    that none is reported of a text that a stop string took away.
    """

    def __init__(self, tokenizer: Tokenizer, request: Request, stops: Sequence[str]) -> None:
        self.tokens = 0  # received, with the one that ended the answer
        self._stream = tokenizer.stream()
        self._special = tokenizer.special_ids
        self._request = request
        self._stops = StopStrings(stops)
        self._pending: deque[PlacedToken] | None = None if request.logprobs is None else deque()
        self._made = 0  # characters, shown or held back
        self._shown = 0

    def push(self, tokens: Sequence[Token]) -> Piece:
        """What the tokens make certain; its text may be empty."""
        shown = ""
        reason: Literal["stop", "length"] | None = None
        for token in tokens:
            self.tokens += 1
            ended = token.finish_reason
            if ended == "cancelled":
                raise ApiError(503, "the engine gave the answer up: ask again", retry_after=1)
            is_stop = ended is not None and token.id in self._request.stop_ids
            text = ""
            if not is_stop and token.id not in self._special:
                text = self._stream.push(token.id)
            if ended is not None:
                text += self._stream.finish()
                reason = ended
            if self._pending is not None:
                start, self._made = self._made, self._made + len(text)
                if not is_stop:
                    self._pending.append(PlacedToken(token, start, self._made))
            shown += self._stops.push(text)
            if self._stops.found:
                reason = "stop"
            if reason is not None:
                break
        if reason is not None:
            shown += self._stops.finish()
        self._shown += len(shown)
        return Piece(shown, self._release(reason is not None), reason)

    def _release(self, ended: bool) -> list[PlacedToken]:
        released: list[PlacedToken] = []
        while self._pending:
            first = self._pending[0]
            # At a stop string the text may end within a token, which then still belongs to it.
            if first.end <= self._shown or (ended and first.start < self._shown):
                released.append(self._pending.popleft())
            else:
                break
        return released
