"""Strings to indices: each different string gets the next one when it is first seen.

A hash table with open addressing in flat arrays, so that a compiled loop takes up the words of a
whole text. Strings are ranges of code points, or of any other small integers.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["StringTable", "find", "grown", "mixed"]

Codes = NDArray[np.uint32]
Indices = NDArray[np.int64]

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads bits upwards


class StringTable:
    """The strings seen, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._slots = np.full(1 << 10, -1, np.int32)
        self._hashes = np.empty(1 << 9, np.uint64)
        self._ends = np.zeros((1 << 9) + 1, np.int64)
        self._codes = np.empty(1 << 12, np.uint32)
        self._size = 0

    def __len__(self) -> Any:
        return self._size

    @property
    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.uint64], Indices, Codes]:
        """What ``find`` looks into."""
        return self._slots, self._hashes, self._ends, self._codes

    @property
    def codes(self) -> Codes:
        """All strings, one behind the other."""
        return self._codes[: self._ends[self._size]]

    @property
    def ends(self) -> Indices:
        """(n + 1,) string i lies in ``codes[ends[i]:ends[i + 1]]``."""
        return self._ends[: self._size + 1]

    def strings(self, first: int = 0) -> list[str]:
        """The strings from index ``first`` on, where they are code points."""
        text = self.codes.tobytes().decode("utf-32-le")
        ends = self.ends[first:].tolist()
        return [text[a:b] for a, b in pairwise(ends)]

    def intern(self, codes: Codes, starts: Indices, ends: Indices) -> NDArray[np.int32]:
        """The index of each string ``codes[start:end]``; new ones are taken up."""
        most = self._size + len(starts)
        self._hashes = grown(self._hashes, most)
        self._ends = grown(self._ends, most + 1)
        self._codes = grown(self._codes, int(self._ends[self._size]) + int((ends - starts).sum()))
        if len(self._slots) < 2 * most:
            self._slots = np.full(1 << (2 * most - 1).bit_length(), -1, np.int32)
            _place(self._slots, self._hashes, 0, self._size)
        found = np.empty(len(starts), np.int32)
        self._size = _intern(
            codes, starts, ends, self._slots, self._hashes, self._ends, self._codes, self._size,
            found,
        )  # fmt: skip
        return found


def grown(array: Any, size: int) -> Any:
    """The array itself where it has ``size`` elements, else a copy with room for more."""
    if len(array) >= size:
        return array
    larger = np.empty((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def mixed(hashed: Any, code: Any) -> Any:
    """The hash of a string and one more code; that of no codes is 0."""
    hashed = (hashed ^ np.uint64(code + np.uint32(1))) * MULTIPLIER
    return hashed ^ hashed >> np.uint64(29)


@njit(cache=True, nogil=True)
def find(
    codes: Any, start: int, end: int, hashed: Any, slots: Any, hashes: Any, ends: Any, known: Any
) -> Any:
    """The index of ``codes[start:end]``, whose hash is known, or -1."""
    slot = np.int64(hashed >> np.uint64(16)) & (len(slots) - 1)
    while slots[slot] >= 0:
        index = slots[slot]
        first = ends[index]
        if hashes[index] == hashed and ends[index + 1] - first == end - start:
            i = 0
            while i < end - start and known[first + i] == codes[start + i]:
                i += 1
            if i == end - start:
                return index
        slot = (slot + 1) & (len(slots) - 1)
    return -1


@njit(cache=True, nogil=True)
def _place(slots: Any, hashes: Any, first: int, size: int) -> None:
    """Put the strings from an index on into the slots."""
    mask = len(slots) - 1
    for index in range(first, size):
        slot = np.int64(hashes[index] >> np.uint64(16)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = index


@njit(cache=True, nogil=True)
def _intern(
    codes: Any, starts: Any, ends: Any, slots: Any, hashes: Any, known_ends: Any, known: Any,
    size: int, found: Any,
) -> Any:  # fmt: skip
    for word in range(len(starts)):
        start, end = starts[word], ends[word]
        hashed = np.uint64(0)
        for i in range(start, end):
            hashed = mixed(hashed, codes[i])
        index = find(codes, start, end, hashed, slots, hashes, known_ends, known)
        if index < 0:
            first = known_ends[size]
            for i in range(end - start):
                known[first + i] = codes[start + i]
            known_ends[size + 1] = first + end - start
            hashes[size] = hashed
            index = size
            size += 1
            _place(slots, hashes, index, size)
        found[word] = index
    return size
