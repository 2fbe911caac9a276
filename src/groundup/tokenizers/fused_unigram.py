"""``best_segmentation`` of ``unigram.py`` for all words of a table in one compiled loop."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from .string_table import StringTable, find, mixed
from .token_model import EncodeWords, Tokens

__all__ = ["fused_unigram"]


def fused_unigram(
    scores: Mapping[str, float], ids: Mapping[str, int], unknown_id: int, unknown_score: float
) -> EncodeWords:
    """The function that encodes words.

    Arguments:
        scores, unknown_score: as of ``best_segmentation``.
        ids: of the tokens.
        unknown_id: stands for a run of unknown characters.
    """
    tokens = StringTable()
    codes = np.frombuffer("".join(scores).encode("utf-32-le"), np.uint32)
    ends = np.cumsum([0, *map(len, scores)]).astype(np.int64)
    tokens.intern(codes, ends[:-1], ends[1:])
    values = np.array([*scores.values()], np.float64)
    numbers = np.array([ids[token] for token in scores], np.int32)
    longest = max(map(len, scores), default=1)

    def encode_words(table: StringTable, first: int) -> Tokens:
        found = np.empty((3, int(table.ends[-1] - table.ends[first])), np.int32)
        counts = np.empty(len(table) - first, np.int64)
        n = _encode(
            table.codes, table.ends, first, *tokens.arrays, values, numbers, longest,
            unknown_id, unknown_score, found, counts,
        )  # fmt: skip
        return Tokens(found[0, :n], found[1, :n], found[2, :n], counts)

    return encode_words


@njit(cache=True, nogil=True)
def _encode(
    codes: Any, ends: Any, first: int, slots: Any, hashes: Any, token_ends: Any, token_codes: Any,
    values: Any, numbers: Any, longest: int, unknown_id: int, unknown_score: float,
    found: Any, counts: Any,
) -> Any:  # fmt: skip
    most = 0
    for word in range(first, len(ends) - 1):
        most = max(most, ends[word + 1] - ends[word])
    best, came_from = np.empty(most + 1), np.empty(most + 1, np.int64)
    token_at = np.empty(most + 1, np.int32)  # the token that ends at a place
    total = 0
    for word in range(first, len(ends) - 1):
        begin, length = ends[word], ends[word + 1] - ends[word]
        best[: length + 1] = -np.inf
        best[0] = 0.0
        for start in range(length):
            hashed = np.uint64(0)
            for end in range(start + 1, min(start + longest, length) + 1):
                hashed = mixed(hashed, codes[begin + end - 1])
                token = find(
                    codes,
                    begin + start,
                    begin + end,
                    hashed,
                    slots,
                    hashes,
                    token_ends,
                    token_codes,
                )
                if token < 0 and end > start + 1:
                    continue
                score = values[token] if token >= 0 else unknown_score
                if best[start] + score > best[end]:
                    best[end], came_from[end] = best[start] + score, start
                    token_at[end] = numbers[token] if token >= 0 else unknown_id
        # Backward from the end, and then turned round.
        n, end = total, length
        while end > 0:
            start = came_from[end]
            if n > total and token_at[end] == unknown_id and found[0, n - 1] == unknown_id:
                found[1, n - 1] = start
            else:
                found[0, n], found[1, n], found[2, n] = token_at[end], start, end
                n += 1
            end = start
        for row in range(3):
            found[row, total:n] = found[row, total:n][::-1].copy()
        counts[word - first] = n - total
        total = n
    return total
