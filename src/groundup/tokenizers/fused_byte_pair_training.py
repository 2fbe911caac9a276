"""``byte_pair_training.py`` in one compiled loop.

Pairs get indices as they are found (a hash table). Each has its count, and the words in which it is
yet to be joined as a list of (word, next entry).
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from threading import Thread
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["train_byte_pairs"]

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def train_byte_pairs(
    symbols: NDArray[np.int32],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    alphabet: int,
    size: int,
    least: int = 1,
    advance: Callable[[int], None] = lambda done: None,
) -> NDArray[np.int64]:
    """The merges (left, right, joined) as (n, 3), as the readable ``train_byte_pairs`` finds them.

    Arguments:
        symbols, ends: word i is ``symbols[ends[i]:ends[i + 1]]``. ``symbols`` is used up.
        counts: (words,) how often each word occurs.
        alphabet, size, least: as there.
        advance: told every tenth of a second how many symbols there are.
    """
    state = np.array([alphabet, 0], np.int64)  # how many symbols there are; whether to stop
    found: list[NDArray[np.int64]] = []
    # In a thread, as a compiled loop hears no Ctrl-C.
    thread = Thread(
        target=lambda: found.append(_train(symbols, ends, counts, alphabet, size, least, state)),
        daemon=True,
    )
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            advance(int(state[0]))
    finally:
        state[1] = 1
        thread.join()
    return found[0]


@njit(cache=True, nogil=True)
def _slot(slots: Any, keys: Any, key: int) -> Any:
    """Where a pair's index is, or would be."""
    mask = np.uint64(len(slots) - 1)
    slot = np.uint64(key) * MULTIPLIER >> np.uint64(32) & mask
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = slot + np.uint64(1) & mask
    return slot


@njit(cache=True, nogil=True)
def _place(slots: Any, keys: Any, n: int) -> None:
    for index in range(n):
        slots[_slot(slots, keys, keys[index])] = index


@njit(cache=True, nogil=True)
def _larger(array: Any) -> Any:
    larger = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def _train(
    symbols: Any, ends: Any, counts: Any, alphabet: int, size: int, least: int, state: Any
) -> Any:
    lengths = ends[1:] - ends[:-1]
    n_pairs, n_entries, n_merges = 0, 0, 0
    slots = np.full(1 << 16, -1, np.int32)
    keys = np.empty(1 << 15, np.int64)  # left << 32 | right
    pairs = np.empty((1 << 15, 3), np.int64)  # count, first entry or -1, merge that last added one
    entries = np.empty((1 << 16, 2), np.int64)  # word, next entry or -1
    merges = np.empty((max(size - alphabet, 0), 3), np.int64)
    created = np.empty(1 << 10, np.int64)
    queue = [(np.int64(0), np.int64(0)) for _ in range(0)]

    # Round -1 counts all pairs; each other one takes a pair from the queue and joins it.
    current, head, joined, left, right = -1, -1, alphabet - 1, -1, -1
    while True:
        n_created = 0
        word = -1
        while True:
            if current < 0:
                word += 1
                if word == len(lengths):
                    break
            else:
                if head < 0:
                    break
                word, head = entries[head, 0], entries[head, 1]
            first, length, count = ends[word], lengths[word], counts[word]
            while n_pairs + 2 * length > len(keys):
                keys, pairs = _larger(keys), _larger(pairs)
                slots = np.full(2 * len(keys), -1, np.int32)
                _place(slots, keys, n_pairs)
            while n_entries + 2 * length > len(entries):
                entries = _larger(entries)
            while n_created + 2 * length > len(created):
                created = _larger(created)
            i, out = 0, 0
            while i < length:
                joins = (
                    current >= 0
                    and i + 1 < length
                    and symbols[first + i] == left
                    and symbols[first + i + 1] == right
                )
                here = symbols[first + i]
                if joins:
                    here = joined
                # Up to two pairs change: with the symbol before, already joined, and behind.
                for side in range(2):
                    if current < 0:
                        if side == 1 or i == 0:
                            continue
                        new = np.int64(symbols[first + i - 1]) << 32 | np.int64(here)
                    elif not joins:
                        continue
                    elif side == 0:
                        if out == 0:
                            continue
                        old = np.int64(symbols[first + out - 1]) << 32 | np.int64(left)
                        new = np.int64(symbols[first + out - 1]) << 32 | np.int64(joined)
                        pairs[slots[_slot(slots, keys, old)], 0] -= count
                    else:
                        if i + 2 >= length:
                            continue
                        old = np.int64(right) << 32 | np.int64(symbols[first + i + 2])
                        new = np.int64(joined) << 32 | np.int64(symbols[first + i + 2])
                        pairs[slots[_slot(slots, keys, old)], 0] -= count
                    slot = _slot(slots, keys, new)
                    index = slots[slot]
                    if index < 0:
                        index = n_pairs
                        slots[slot] = index
                        keys[index] = new
                        pairs[index, 0], pairs[index, 1], pairs[index, 2] = 0, -1, -2
                        n_pairs += 1
                    pairs[index, 0] += count
                    if pairs[index, 2] != current:
                        pairs[index, 2] = current
                        created[n_created] = index
                        n_created += 1
                    last = pairs[index, 1]
                    if last < 0 or entries[last, 0] != word:
                        entries[n_entries, 0], entries[n_entries, 1] = word, last
                        pairs[index, 1] = n_entries
                        n_entries += 1
                symbols[first + out] = here
                out += 1
                i += 2 if joins else 1
            lengths[word] = out
        for i in range(n_created):
            index = created[i]
            if pairs[index, 0] > 0:
                if current < 0:
                    queue.append((-pairs[index, 0], keys[index]))
                else:
                    heappush(queue, (-pairs[index, 0], keys[index]))
        if current < 0:
            heapify(queue)

        state[0] = alphabet + n_merges
        found = -1
        while len(queue) and joined + 1 < size and state[1] == 0:
            negative, key = heappop(queue)
            index = slots[_slot(slots, keys, key)]
            if pairs[index, 1] < 0:
                continue
            if pairs[index, 0] != -negative:
                heappush(queue, (-pairs[index, 0], key))
                continue
            if pairs[index, 0] >= max(least, 1):
                found = index
            break
        if found < 0:
            return merges[:n_merges].copy()
        left, right = keys[found] >> 32, keys[found] & 0xFFFFFFFF
        head = pairs[found, 1]
        pairs[found, 1] = -1

        joined = alphabet + n_merges
        merges[n_merges, 0], merges[n_merges, 1], merges[n_merges, 2] = left, right, joined
        current = n_merges
        n_merges += 1
