"""The semantic answer cache: a question that means nearly the same gets the answer kept."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundup.serving.response_cache import request_key

__all__ = ["SemanticCache", "SemanticHit", "question_of"]

ROUNDING = 1e-6  # of a cosine in float32


class SemanticHit(NamedTuple):
    """What was found."""

    answer: bytes
    similarity: float  # the cosine, at most 1.0


def question_of(request: Mapping[str, Any]) -> tuple[str, str] | None:
    """Split a chat request into all that must be equal, and the question that may be similar.

    Args:
        request: the body of an OpenAI chat completion; not changed.

    Returns:
        ``partition, question``: the question is the text of the last message, and the partition
        stands for everything else, as `request_key` makes it: model, system prompt, earlier turns,
        tools, limits. None where no answer may be kept: the request draws at random, or its last
        message is not a user's, or is not plain text.

    Raises:
        ValueError: a number in the request is not finite.
    """
    messages = request.get("messages")
    if not messages or messages[-1].get("role") != "user":
        return None
    question = messages[-1].get("content")
    if not isinstance(question, str):
        return None
    rest = [*messages[:-1], {**messages[-1], "content": ""}]
    partition = request_key({**request, "messages": rest})
    return None if partition is None else (partition, question)


class SemanticCache:
    """Answers by the embedding of their question, found by cosine.

    It takes another question's answer for right, so it is for those who want that: a threshold
    too low gives wrong answers, and embeddings put opposites near one another. Measure it on
    questions of your own.

    A question is compared with those of its own partition only. At most ``max_entries`` answers
    are held, over all partitions: the least recently used leave first. All embeddings lie in one
    matrix, and a search is one product with the rows of the partition.

    Source: Bang 2023, "GPTCache: an open-source semantic cache for LLM applications".
    """

    def __init__(
        self,
        dimensions: int,
        *,
        threshold: float,
        max_entries: int,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty cache.

        Args:
            dimensions: D, of the embeddings.
            threshold: the least cosine at which a question counts as the same, above 0, at most 1.
            max_entries: the most answers held; their matrix has ``4 * D`` bytes each.
            ttl: seconds for which an answer is kept from when it was put; infinity is for ever.
            clock: gives seconds from any beginning.

        Raises:
            ValueError: a number is out of its range.
        """
        for name, value in (("dimensions", dimensions), ("max_entries", max_entries), ("ttl", ttl)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
        self._threshold = threshold
        self._ttl = ttl
        self._clock = clock
        self._embeddings = np.zeros((max_entries, dimensions), np.float32)
        self._free = list(range(max_entries))[::-1]  # rows of the matrix
        # Rows in use, in the order of use, the latest last; and the rows of each partition.
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._partitions: dict[str, set[int]] = {}

    def __len__(self) -> int:
        """How many answers are held; those whose time is over count until they are come upon."""
        return len(self._entries)

    def get(self, partition: str, embedding: ArrayLike) -> SemanticHit | None:
        """The answer to the nearest question of the partition, then the most recently used.

        Args:
            partition: from `question_of`.
            embedding: of the question, shape (D,), of any length but zero.

        Returns:
            None if no cosine reaches the threshold. To reach it, a cosine may be 1e-6 below: that
            is float32's rounding. Answers put ``ttl`` seconds ago or earlier are not there.

        Raises:
            ValueError: the shape is not (D,), or a number is not finite, or all are zero.
        """
        row, similarity = self._nearest(partition, self._unit(embedding))
        if row is None or similarity < self._threshold - ROUNDING:
            return None
        self._entries.move_to_end(row)
        return SemanticHit(self._entries[row].answer, min(1.0, similarity))

    def put(self, partition: str, embedding: ArrayLike, answer: bytes) -> None:
        """Keep an answer, as the most recently used.

        It takes the place of an earlier one in the partition whose embedding has the same
        direction (a cosine of 1, to 1e-6). If the cache is full, the least recently used leaves.

        Args:
            partition, embedding: as in `get`.
            answer: what `get` shall give.

        Raises:
            ValueError: as `get`. The cache is then as it was.
        """
        unit = self._unit(embedding)
        row, similarity = self._nearest(partition, unit)
        if row is not None and similarity >= 1 - ROUNDING:
            self._drop(row)
        elif not self._free:
            self._drop(next(iter(self._entries)))
        row = self._free.pop()
        self._embeddings[row] = unit
        self._entries[row] = _Entry(partition, answer, self._clock() + self._ttl)
        self._partitions.setdefault(partition, set()).add(row)

    def _nearest(self, partition: str, unit: NDArray[np.float32]) -> tuple[int | None, float]:
        """The row of the highest cosine in the partition, once what is over has been dropped."""
        now = self._clock()
        for row in [r for r in self._partitions.get(partition, ()) if self._entries[r].ends <= now]:
            self._drop(row)
        rows = list(self._partitions.get(partition, ()))
        if not rows:
            return None, 0.0
        cosines = self._embeddings[rows] @ unit  # (N,)
        best = int(cosines.argmax())
        return rows[best], float(cosines[best])

    def _unit(self, embedding: ArrayLike) -> NDArray[np.float32]:
        # In float64, in which the squares of float32 numbers neither overflow nor vanish.
        vector = np.asarray(embedding, np.float64)
        if vector.shape != self._embeddings.shape[1:]:
            raise ValueError(
                f"an embedding must have shape {self._embeddings.shape[1:]}, got {vector.shape}"
            )
        length = float(np.linalg.norm(vector))
        if not 0 < length < np.inf:
            raise ValueError(f"an embedding must be finite and not zero, its length is {length}")
        return (vector / length).astype(np.float32)

    def _drop(self, row: int) -> None:
        partition = self._entries.pop(row).partition
        self._partitions[partition].remove(row)
        if not self._partitions[partition]:
            del self._partitions[partition]
        self._free.append(row)


class _Entry(NamedTuple):
    partition: str
    answer: bytes
    ends: float  # the time
