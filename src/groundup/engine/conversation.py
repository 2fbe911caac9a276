"""A chat with a model: messages in, streamed text out, the cache kept from turn to turn."""

from collections.abc import Iterator
from typing import TypedDict

from groundup.engine.generate import generate, new_cache, positions_before
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Conversation", "Message"]


class Message(TypedDict):
    """One turn, in the form that chat templates and OpenAI's interface share."""

    role: str  # "system", "user" or "assistant"
    content: str


class Conversation:
    """Messages, and the part of them that the model has already read."""

    def __init__(
        self, model: LanguageModel, tokenizer: Tokenizer, system: str | None = None
    ) -> None:
        """Start a chat; ``system`` None leaves the system message to the model's template."""
        self.model = model
        self.tokenizer = tokenizer
        self.messages: list[Message] = []
        self.reset(system)

    @property
    def system(self) -> str | None:
        """The system message, or None where the model's template has its own."""
        first = self.messages[0] if self.messages else None
        return first["content"] if first and first["role"] == "system" else None

    def reset(self, system: str | None = None) -> None:
        """Forget all turns; the system message becomes ``system``, or stays."""
        if system is None:
            system = self.system
        self.messages = [] if system is None else [{"role": "system", "content": system}]
        self._cache = new_cache(self.model)
        self._read: list[int] = []  # the ids whose keys and values the cache holds

    def reply(
        self, text: str, params: SamplingParams, max_tokens: int | None = None
    ) -> Iterator[str]:
        """Add the user's message, and yield the answer in pieces as it comes.

        However the answer ends (a stop token, ``max_tokens``, Ctrl-C, the caller stopping to
        iterate), the text given so far is kept as the assistant's message. With no text given,
        as when the message does not fit the context, the conversation stays as it was before.

        Raises:
            GroundupError: the conversation with this message does not fit the model's context.
        """
        self.messages.append({"role": "user", "content": text})
        pieces: list[str] = []
        try:
            for piece in self._answer(params, max_tokens):
                pieces.append(piece)
                yield piece
        finally:
            if pieces:
                self.messages.append({"role": "assistant", "content": "".join(pieces)})
            else:
                self.messages.pop()

    def warm_up(self) -> None:
        """Generate one token and forget it, so that the first answer waits for nothing.

        The first run on a machine compiles the kernels; later ones load them.
        """
        list(generate(self.model, [0], SamplingParams(), max_tokens=2))

    def _answer(self, params: SamplingParams, max_tokens: int | None) -> Iterator[str]:
        prompt = self.tokenizer.encode_chat(self.messages)
        before = positions_before(self.model)
        context = self.model.config.context - before
        if len(prompt) >= context:
            raise GroundupError(
                f"with this message the conversation is {len(prompt):,} tokens long, and the "
                f"model reads at most {context - 1:,}: shorten it, or begin a new conversation"
            )
        # Of what was read before, the common beginning is still right; the last token of the
        # prompt is always read anew, because its output chooses the first new one.
        shared = 0
        read = max(0, self._cache.length - before)
        for old, new in zip(self._read[:read], prompt[:-1], strict=False):
            if old != new:
                break
            shared += 1
        self._cache.truncate(shared and before + shared)
        self._read = list(prompt)
        stream = self.tokenizer.stream()
        for token in generate(
            self.model,
            prompt,
            params,
            stop_ids=self.tokenizer.eos_ids,
            max_tokens=max_tokens,
            cache=self._cache,
        ):
            self._read.append(token)
            if piece := stream.push(token):
                yield piece
        if piece := stream.finish():
            yield piece
