"""Words and their tokens, kept: a text repeats its words, and most of it is looked up."""

from threading import Lock
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .pieces import Pieces
from .string_table import StringTable, grown
from .token_model import TokenModel

__all__ = ["WordCache"]

MOST_WORDS = 1 << 17
MOST_CHARACTERS = 1 << 23
BLOCK = 1 << 16  # words that are looked up at once, and by which the cache may exceed its bounds


class WordCache:
    """Encodes words, each different one once. When it is full, it starts anew."""

    def __init__(self, model: TokenModel) -> None:
        self._model = model
        self._lock = Lock()
        self._table: StringTable
        self._tokens: NDArray[np.int32]  # (tokens, 3) id, first character, end
        self._ends: NDArray[np.int64]  # word i's tokens end at ends[i + 1]
        self._words: int
        self._start()

    def tokens(self, words: Pieces) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids (n,), and for each where it starts and ends in the text that was given (n, 2)."""
        parts = [
            self._block(words.codes, words.starts[i : i + BLOCK], words.ends[i : i + BLOCK])
            for i in range(0, len(words.starts), BLOCK)
        ]
        if not parts:
            return np.empty(0, np.int32), np.empty((0, 2), np.int64)
        ids, spans = map(np.concatenate, zip(*parts, strict=True))
        if words.origins is not None:
            first, last = spans[:, 0], np.maximum(spans[:, 1] - 1, spans[:, 0])
            spans = np.stack((words.origins[first, 0], words.origins[last, 1]), axis=1)
        return ids, spans

    def __len__(self) -> int:
        return len(self._table)

    def _block(self, codes: Any, starts: Any, ends: Any) -> tuple[Any, Any]:
        with self._lock:
            if len(self._table) > MOST_WORDS + len(self._model.whole_words) or (
                len(self._table.codes) > MOST_CHARACTERS
            ):
                self._start()
            known = len(self._table)
            indices = self._table.intern(codes, starts, ends)
            if len(self._table) > known:
                self._add(*self._model.encode_words(self._table, known))
            total = int((self._ends[indices + 1] - self._ends[indices]).sum())
            ids, spans = np.empty(total, np.int32), np.empty((total, 2), np.int64)
            _gather(indices, starts, self._ends, self._tokens, ids, spans)
        return ids, spans

    def _add(self, ids: Any, starts: Any, ends: Any, counts: Any) -> None:
        used, words = int(self._ends[self._words]), len(counts)
        self._tokens = grown(self._tokens, used + len(ids))
        for column, values in enumerate((ids, starts, ends)):
            self._tokens[used : used + len(ids), column] = values
        self._ends = grown(self._ends, self._words + words + 1)
        self._ends[self._words + 1 : self._words + words + 1] = used + np.cumsum(counts)
        self._words += words

    def _start(self) -> None:
        self._table = StringTable()
        self._tokens = np.empty((1 << 12, 3), np.int32)
        self._ends = np.zeros(1 << 10, np.int64)
        self._words = 0
        if whole := self._model.whole_words:
            codes = np.frombuffer("".join(whole).encode("utf-32-le"), np.uint32)
            lengths = np.array([*map(len, whole)], np.int64)
            ends = np.cumsum(lengths)
            self._table.intern(codes, ends - lengths, ends)
            ids = np.array([*whole.values()], np.int32)
            self._add(ids, np.zeros_like(ids), lengths, np.ones(len(ids), np.int64))


@njit(cache=True, nogil=True)
def _gather(indices: Any, starts: Any, ends: Any, tokens: Any, ids: Any, spans: Any) -> None:
    n = 0
    for word in range(len(indices)):
        for token in range(ends[indices[word]], ends[indices[word] + 1]):
            ids[n] = tokens[token, 0]
            spans[n, 0] = starts[word] + tokens[token, 1]
            spans[n, 1] = starts[word] + tokens[token, 2]
            n += 1
