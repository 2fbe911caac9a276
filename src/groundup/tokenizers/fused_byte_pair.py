"""``byte_pair_encoding.py`` for all words of a table in one compiled loop, with offsets."""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numba import njit

from .string_table import StringTable
from .token_model import EncodeWords, Tokens

__all__ = ["fused_byte_pair"]

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def fused_byte_pair(
    byte_ids: Sequence[int | None], ranks: Mapping[tuple[int, int], tuple[int, int]]
) -> EncodeWords:
    """The function that encodes words.

    Arguments:
        byte_ids: the id of each of the 256 bytes; None drops the byte.
        ranks: ``{(left id, right id): (rank, joined id)}``, as of ``merge_ranks``.
    """
    ids = np.array([-1 if i is None else i for i in byte_ids], np.int64)
    merges = np.array([(*pair, *merge) for pair, merge in ranks.items()], np.int64).reshape(-1, 4)
    # Pairs in a hash table: (left << 32 | right, rank << 32 | joined), -1 where it is free.
    pairs = np.full((1 << (2 * len(merges) + 1).bit_length(), 2), -1, np.int64)
    _fill(pairs, merges)

    def encode_words(table: StringTable, first: int) -> Tokens:
        most = 4 * int(table.ends[-1] - table.ends[first])
        tokens = np.empty((3, most), np.int32)
        counts = np.empty(len(table) - first, np.int64)
        n = _encode(table.codes, table.ends, first, ids, pairs, tokens, counts)
        return Tokens(tokens[0, :n], tokens[1, :n], tokens[2, :n], counts)

    return encode_words


@njit(cache=True, nogil=True)
def _fill(pairs: Any, merges: Any) -> None:
    mask = np.uint64(len(pairs) - 1)
    for i in range(len(merges)):
        pair = merges[i, 0] << 32 | merges[i, 1]
        slot = np.uint64(pair) * MULTIPLIER >> np.uint64(32) & mask
        while pairs[slot, 0] >= 0:
            slot = slot + np.uint64(1) & mask
        pairs[slot, 0] = pair
        pairs[slot, 1] = merges[i, 2] << 32 | merges[i, 3]


@njit(cache=True, nogil=True)
def _merge(pairs: Any, left: int, right: int) -> Any:
    """``rank << 32 | joined`` of a pair, or -1."""
    pair = np.int64(left) << 32 | np.int64(right)
    mask = np.uint64(len(pairs) - 1)
    slot = np.uint64(pair) * MULTIPLIER >> np.uint64(32) & mask
    while pairs[slot, 0] != pair:
        if pairs[slot, 0] < 0:
            return -1
        slot = slot + np.uint64(1) & mask
    return pairs[slot, 1]


@njit(cache=True, nogil=True)
def _spell(codes: Any, byte_ids: Any, ids: Any, characters: Any) -> Any:
    """The symbols of a word's UTF-8 bytes, and the character that each belongs to."""
    n = 0
    for character in range(len(codes)):
        code = np.int64(codes[character])
        if code < 0x80:
            size, lead = 1, code
        elif code < 0x800:
            size, lead = 2, 0xC0 | code >> 6
        elif code < 0x10000:
            size, lead = 3, 0xE0 | code >> 12
        else:
            size, lead = 4, 0xF0 | code >> 18
        for i in range(size):
            byte = lead if i == 0 else 0x80 | (code >> 6 * (size - 1 - i) & 0x3F)
            if byte_ids[byte] >= 0:
                ids[n], characters[n] = byte_ids[byte], character
                n += 1
    return n


@njit(cache=True, nogil=True)
def _encode(
    codes: Any, ends: Any, first: int, byte_ids: Any, pairs: Any, tokens: Any, counts: Any
) -> Any:
    longest = 0
    for word in range(first, len(ends) - 1):
        longest = max(longest, ends[word + 1] - ends[word])
    ids = np.empty(4 * longest, np.int64)
    characters = np.empty(4 * longest, np.int64)
    before = np.empty(4 * longest, np.int64)
    after = np.empty(4 * longest, np.int64)
    heap = [np.int64(0) for _ in range(0)]  # rank << 32 | place of the left symbol
    total = 0
    for word in range(first, len(ends) - 1):
        end = _spell(codes[ends[word] : ends[word + 1]], byte_ids, ids, characters)
        for i in range(end):
            before[i], after[i] = i - 1, i + 1
        for i in range(end - 1):
            found = _merge(pairs, ids[i], ids[i + 1])
            if found >= 0:
                heappush(heap, found >> 32 << 32 | i)
        while len(heap):
            top = heappop(heap)
            left = top & 0xFFFFFFFF
            right = after[left]
            if right == end or ids[left] < 0:
                continue
            found = _merge(pairs, ids[left], ids[right])
            if found < 0 or found >> 32 != top >> 32:
                continue
            ids[left], ids[right] = found & 0xFFFFFFFF, -1
            after[left] = after[right]
            if after[left] != end:
                before[after[left]] = left
            for start in (before[left], left):
                if start >= 0 and after[start] != end:
                    created = _merge(pairs, ids[start], ids[after[start]])
                    if created >= 0:
                        heappush(heap, created >> 32 << 32 | start)
        count, i = 0, 0
        while i < end:
            tokens[0, total], tokens[1, total] = ids[i], characters[i]
            tokens[2, total] = characters[after[i] - 1] + 1
            count += 1
            total += 1
            i = after[i]
        counts[word - first] = count
    return total
