"""Answers one after another, of models that the engine does not read."""

from collections.abc import Iterator

from groundup.engine.generate import generate, positions_before, room_for_answer
from groundup.engine.request import Request, Token
from groundup.models.language_model import LanguageModel

__all__ = ["OneByOne"]


class OneByOne:
    """As `groundup.engine.engine.Engine` to whoever asks: a token of the oldest answer a step.

    GPT-2 is read so, and a model with a prefix or a prompt, which no matrix holds.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._answers: dict[int, Iterator[Token]] = {}  # none is begun before its turn

    def add(self, key: int, request: Request) -> None:
        """Take up a request, without a constraint and without an adapter.

        Raises:
            GroundupError: the prompt is empty or does not fit.
        """
        context = self._model.config.context - positions_before(self._model)
        room_for_answer(len(request.prompt), context)
        self._answers[key] = self._write(request)

    @property
    def busy(self) -> bool:
        """Whether a request has not ended."""
        return bool(self._answers)

    def cancel(self, key: int) -> None:
        """Forget a request; nothing happens where it has ended."""
        self._answers.pop(key, None)

    def step(self) -> list[tuple[int, Token]]:
        """The next token of the oldest request, with its key; nothing where there is none."""
        for key, answer in self._answers.items():
            token = next(answer)
            if token.finish_reason is not None:
                self.cancel(key)
            return [(key, token)]
        return []

    def _write(self, request: Request) -> Iterator[Token]:
        """The tokens, the last of which bears the reason, as the engine's does."""
        ids = generate(self._model, request.prompt, request.params, max_tokens=request.max_tokens)
        token = next(ids)
        while token not in request.stop_ids and (following := next(ids, None)) is not None:
            yield Token(token)
            token = following
        yield Token(token, finish_reason="stop" if token in request.stop_ids else "length")
