"""Answers to chats whose last question means nearly the same, by the questions' embeddings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from groundup.serving.semantic_cache import SemanticCache

__all__ = ["Embed", "Question", "SimilarAnswers"]

Embed = Callable[[str], "Awaitable[ArrayLike]"]


class Question(NamedTuple):
    """What may be similar, and what must be equal."""

    partition: str
    embedding: ArrayLike


class SimilarAnswers:
    """A `SemanticCache` that asks for the embeddings itself.

    It is made when the first embedding has come, which says how many dimensions there are.
    """

    def __init__(self, embed: Embed, *, threshold: float, max_entries: int, ttl: float) -> None:
        """Arguments:
        embed: gives the embedding of a text, of shape (D,).
        threshold, max_entries, ttl: of `SemanticCache`.
        """
        self._embed = embed
        self._threshold = threshold
        self._max_entries = max_entries
        self._ttl = ttl
        self._cache: SemanticCache | None = None

    async def question(self, within: str, request: Mapping[str, Any]) -> Question | None:
        """The question of a chat; None where no answer may be kept for it.

        Args:
            within: those whose answers it may get, and in which form.
            request: the body of a chat completion.

        Raises:
            Exception: what ``embed`` raises.
        """
        from groundup.serving.semantic_cache import SemanticCache, question_of

        found = question_of(request)
        if found is None:
            return None
        embedding = await self._embed(found[1])
        if self._cache is None:
            self._cache = SemanticCache(
                len(embedding),  # type: ignore[arg-type]
                threshold=self._threshold,
                max_entries=self._max_entries,
                ttl=self._ttl,
            )
        return Question(within + found[0], embedding)

    def get(self, question: Question) -> bytes | None:
        """The answer to a question that is near enough."""
        hit = None if self._cache is None else self._cache.get(*question)
        return None if hit is None else hit.answer

    def put(self, question: Question, answer: bytes) -> None:
        """Keep an answer."""
        if self._cache is not None:
            self._cache.put(*question, answer)
