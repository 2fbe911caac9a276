"""A shuffled order that is computed, not stored."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["shuffled"]

ROUNDS = 6


def shuffled(positions: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """What stands at these positions of a shuffled order of ``0 ... size - 1``.

    The order is a function of ``size`` and ``seed`` alone: the same in every process, on every
    machine, today and tomorrow, whatever was asked before. So a training that goes on at step
    10,000 asks for the rows of step 10,000; nothing has to be replayed or stored. Time and memory
    grow with the number of positions, not with ``size``, which may be 10 ** 12.

    Taken over all positions it is a permutation: each row comes once. Other seeds give orders
    that are unrelated, also seeds that differ by one.

    Args:
        positions: any integers from 0 to ``size - 1``, of any shape, repeated or not; not changed.
        size: how many there are, at least 1 and at most 2 ** 62.
        seed: any integer, also negative or large.

    Returns:
        int64, of the shape of ``positions``.

    Raises:
        ValueError: size is out of its range, or a position is not below it.

    Source: Luby and Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom
    functions", section 3; Black and Rogaway 2002, "Ciphers with arbitrary finite domains",
    section 3 (walking a cycle until it comes back into the domain).
    """
    if not 1 <= size <= 2**62:
        raise ValueError(f"size must be from 1 to 2 ** 62, got {size}")
    if positions.size and not 0 <= positions.min() <= positions.max() < size:
        raise ValueError(f"positions must be from 0 to {size - 1}, got {positions.min()} "
                         f"to {positions.max()}")  # fmt: skip
    half = max(1, ((size - 1).bit_length() + 1) // 2)  # bits: two halves cover the domain
    state = np.random.SeedSequence(seed % 2**128).generate_state(ROUNDS, np.uint64)
    keys = state.astype(np.uint64)
    found = _feistel(positions.astype(np.uint64), keys, half)
    # The network permutes 0 ... 4 ** half - 1, up to four times the size. What falls outside is
    # sent on: it walks a cycle of the permutation, which comes back inside before it closes.
    while (outside := found >= size).any():
        found[outside] = _feistel(found[outside], keys, half)
    return found.astype(np.int64)


def _feistel(x: NDArray[np.uint64], keys: NDArray[np.uint64], half: int) -> NDArray[np.uint64]:
    """Each round adds to one half a function of the other: it can be undone, so nothing meets."""
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = x >> bits, x & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << bits) | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: every bit of the input changes half of the output's."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
