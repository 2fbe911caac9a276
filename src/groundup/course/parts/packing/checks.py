"""Checks of `groundup.training.packing`. Oracle: best fit by looking at every row, and counting."""

import random
from collections.abc import Callable, Sequence
from types import ModuleType

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises


def oracle(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Best fit decreasing as it is defined: for each document all rows are looked at."""
    rows: list[list[int]] = []
    spaces: list[int] = []
    remaining = list(range(len(lengths)))
    while remaining:
        longest = max(lengths[i] for i in remaining)
        index = next(i for i in remaining if lengths[i] == longest)
        remaining.remove(index)
        enough = [space for space in spaces if space >= longest]
        if enough:
            row = spaces.index(min(enough))
        else:
            row = len(rows)
            rows.append([])
            spaces.append(room)
        rows[row].append(index)
        spaces[row] -= longest
    return rows


def random_lengths(count: int, room: int, seed: int) -> list[int]:
    return [random.Random(1000 * seed + i).randint(1, room) for i in range(count)]


def check_example(part: ModuleType) -> None:
    """A small example, row by row"""
    expected = [[1], [2, 3], [0]]
    assert_equal(part.pack([3, 8, 5, 4], 9), expected, "the rows of lengths 3, 8, 5, 4 in room 9")


def check_every_document_once(part: ModuleType) -> None:
    """Every document is in one row, and no row is overfull"""
    for seed in range(5):
        lengths = random_lengths(300, 64, seed)
        rows = part.pack(lengths, 64)
        assert_equal(sorted(i for row in rows for i in row), list(range(300)), "all documents")
        for number, row in enumerate(rows):
            used = sum(lengths[i] for i in row)
            if used > 64 or not row:
                raise CheckFailure(f"row {number} holds {used} tokens: expected 1 to 64")


def check_best_fit(part: ModuleType) -> None:
    """Rows equal those of best fit decreasing by hand"""
    for room, count in ((10, 40), (100, 120), (7, 60)):
        lengths = random_lengths(count, room, room)
        expected = oracle(lengths, room)
        assert_equal(part.pack(lengths, room), expected, f"the rows of {count} in room {room}")


def check_ties(part: ModuleType) -> None:
    """Of equally long documents the first comes first, and of equal spaces the first row"""
    expected = oracle([6] * 4 + [2] * 6 + [1] * 4, 10)
    assert_equal(part.pack([6] * 4 + [2] * 6 + [1] * 4, 10), expected, "the rows in room 10")
    again = oracle([5, 7, 5, 7, 3, 3, 2, 1, 2], 10)
    assert_equal(part.pack([5, 7, 5, 7, 3, 3, 2, 1, 2], 10), again, "the rows in room 10")


def check_tight(part: ModuleType) -> None:
    """Documents that fill rows exactly leave none half empty"""
    pieces = random.Random(5)
    lengths = []
    for _ in range(100):
        first = pieces.randint(40, 63)  # above half, so that no two of them fit together
        lengths += [first, 64 - first]
    pieces.shuffle(lengths)
    rows = part.pack(lengths, 64)
    assert_equal(len(rows), 100, "the number of rows for 100 pairs that fill a row each")


def check_edges(part: ModuleType) -> None:
    """Nothing to pack, one document, documents as long as a row"""
    assert_equal(part.pack([], 5), [], "the rows of no documents")
    assert_equal(part.pack([5], 5), [[0]], "the rows of one document")
    assert_equal(part.pack([5, 5, 5], 5), [[0], [1], [2]], "the rows of full documents")
    assert_equal(part.pack([1, 1, 1], 1), [[0], [1], [2]], "the rows of room 1")


def check_many(part: ModuleType) -> None:
    """Fifty thousand documents, with rows of four thousand tokens, in no more than seconds"""
    lengths = random_lengths(50_000, 4096, 9)
    fewest = -(-sum(lengths) // 4096)
    rows = part.pack(lengths, 4096)
    assert_equal(sorted(i for row in rows for i in row), list(range(50_000)), "all documents")
    if not fewest <= len(rows) <= 1.01 * fewest + 1:
        raise CheckFailure(f"{len(rows):,} rows: expected at most 1 % above {fewest:,}")


def check_input_unchanged(part: ModuleType) -> None:
    """The list of lengths is not changed"""
    lengths = [3, 1, 2, 2]
    part.pack(lengths, 4)
    assert_equal(lengths, [3, 1, 2, 2], "the lengths afterwards")


def check_bad_input(part: ModuleType) -> None:
    """Documents that do not fit, or are empty, raise ValueError and are named"""
    assert_raises(ValueError, lambda: part.pack([3, 9], 8), "document 1 has 9 of 8 tokens", "1")
    assert_raises(ValueError, lambda: part.pack([3, 2, 0], 8), "document 2 is empty", "2")
    assert_raises(ValueError, lambda: part.pack([-1], 8), "a length is -1")
    assert_raises(ValueError, lambda: part.pack([], 0), "room is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` documents in rows of 2,048 tokens."""
    lengths = random_lengths(size, 2048, 0)
    return lambda: part.pack(lengths, 2048)


SIZE = 20_000
