"""What kinds of tokenizers differ in: how a word becomes tokens, and what a token stands for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .string_table import StringTable

__all__ = ["EncodeWords", "TokenModel", "Tokens", "word_by_word"]


class Tokens(NamedTuple):
    """The tokens of several words, one word's behind the other's."""

    ids: NDArray[np.int32]  # (tokens,)
    starts: NDArray[np.int32]  # (tokens,) the first character in the word that it covers
    ends: NDArray[np.int32]  # (tokens,) one more than the last
    counts: NDArray[np.int64]  # (words,) how many are each word's


# The tokens of a table's words from an index on.
EncodeWords = Callable[[StringTable, int], Tokens]


@dataclass(frozen=True)
class TokenModel:
    """One vocabulary and its rules."""

    vocabulary: Mapping[str, int]
    encode_words: EncodeWords
    # What a token adds to a text, and whether it is the first of it.
    bytes_of: Callable[[str, bool], bytes]
    whole_words: Mapping[str, int] = field(default_factory=dict)  # these are one token as they are
    # The tokens of a word, drawn at a temperature; only Unigram has probabilities to draw by.
    sample: Callable[[str, float, Random], list[tuple[int, int, int]]] | None = None


def word_by_word(encode: Callable[[str], list[tuple[int, int, int]]]) -> EncodeWords:
    """Encode each word by a function that gives (id, start, end) for each of its tokens."""

    def encode_words(table: StringTable, first: int) -> Tokens:
        found = [encode(word) for word in table.strings(first)]
        rows = np.array([row for word in found for row in word], np.int32).reshape(-1, 3)
        ids, starts, ends = rows.T
        return Tokens(ids, starts, ends, np.array([len(word) for word in found], np.int64))

    return encode_words
