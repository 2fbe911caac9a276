"""Checks of `groundup.tokenizers.byte_pair_training`. Oracle: counting anew for each merge."""

import random
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

from groundup.course.grader.compare import CheckFailure, assert_equal

Words = list[tuple[list[int], int]]
Merges = list[tuple[int, int, int]]


def naive(words: Words, alphabet: int, size: int, least: int = 1) -> Merges:
    """The definition: all pairs are counted anew for each merge."""
    texts = [list(text) for text, _ in words]
    merges: Merges = []
    while alphabet + len(merges) < size:
        counts: dict[tuple[int, int], int] = {}
        for text, (_, count) in zip(texts, words, strict=True):
            for pair in pairwise(text):
                counts[pair] = counts.get(pair, 0) + count
        if not counts:
            break
        (left, right), count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count < max(least, 1):
            break
        joined = alphabet + len(merges)
        merges.append((left, right, joined))
        for text in texts:
            i = 0
            while i < len(text) - 1:
                if (text[i], text[i + 1]) == (left, right):
                    text[i : i + 2] = [joined]
                i += 1
    return merges


def trains(
    part: ModuleType, case: str, words: Words, alphabet: int, size: int, least: int = 1
) -> None:
    expected = naive(words, alphabet, size, least)
    given = [(list(text), count) for text, count in words]
    got = part.train_byte_pairs(given, alphabet, size, least)
    assert_equal(got, expected, f"the list of merges of {case}")
    assert_equal(given, words, "the list of words afterwards")


def spelled(word: str) -> list[int]:
    return [ord(letter) - ord("a") for letter in word]


def check_example(part: ModuleType) -> None:
    """train_byte_pairs: the docstring's example, without `least` too"""
    words: Words = [([0, 0, 1], 2), ([0, 1], 1)]
    trains(part, "the example", words, 2, 4)
    assert_equal(part.train_byte_pairs(words, 2, 3), [(0, 1, 2)], "the list of one merge")


def check_counts_of_words(part: ModuleType) -> None:
    """train_byte_pairs: a pair counts as often as its words do, once for each of its places"""
    trains(
        part,
        "one frequent and many rare words",
        [(spelled("ab"), 10), *[(spelled("cd"), 1)] * 9],
        4,
        5,
    )
    trains(part, "a word with a pair twice", [(spelled("abcab"), 2), (spelled("bc"), 1)], 3, 4)
    trains(
        part,
        "pairs at the ends of neighbouring words",
        [(spelled("ab"), 1), (spelled("ba"), 1)] * 3,
        2,
        4,
    )


def check_equal_counts(part: ModuleType) -> None:
    """train_byte_pairs: of equal counts the smaller left symbol first, then the smaller right"""
    trains(
        part,
        "four pairs of equal counts",
        [(spelled(w), 3) for w in ("dc", "cd", "ba", "bd")],
        4,
        8,
    )
    trains(
        part,
        "equal counts of old and new symbols",
        [(spelled("cab"), 2), (spelled("abd"), 2)],
        4,
        7,
    )


def check_runs(part: ModuleType) -> None:
    """train_byte_pairs: in a run of one symbol, pairs overlap when counted and not when joined"""
    for n in range(2, 12):
        trains(part, f"a run of {n}", [([0] * n, 1)], 1, 6)
    trains(part, "runs against another pair", [(spelled("aaa"), 3), (spelled("bc"), 5)], 3, 5)
    trains(part, "a run behind another symbol", [(spelled("baaaab"), 2), (spelled("aab"), 1)], 2, 8)


def check_new_pairs(part: ModuleType) -> None:
    """train_byte_pairs: a joined symbol makes pairs with both neighbours, and takes others away"""
    trains(part, "a neighbour on the left", [(spelled("xab"), 5), (spelled("ab"), 9)], 24, 26)
    trains(part, "a neighbour on the right", [(spelled("abx"), 5), (spelled("ab"), 9)], 24, 26)
    trains(
        part,
        "a pair that loses its places",
        [(spelled("abc"), 9), (spelled("bc"), 4), (spelled("de"), 6)],
        5,
        8,
    )
    trains(part, "joined symbols side by side", [(spelled("abababab"), 3)], 2, 5)


def check_ends(part: ModuleType) -> None:
    """train_byte_pairs: stops at the size, when nothing is left, and below the least count"""
    words: Words = [(spelled("abcd"), 3), (spelled("ab"), 4), ([], 5), ([2], 6)]
    for size in (0, 4, 5, 6, 50):
        trains(part, f"a vocabulary of {size}", words, 4, size)
    for least in (1, 3, 4, 7, 8):
        trains(part, f"pairs found {least} times", words, 4, 50, least)
    corpora: list[Words] = [[], [([], 1)], [([0], 7), ([1], 7)]]
    for nothing in corpora:
        assert_equal(part.train_byte_pairs(nothing, 2, 9), [], "the list of no merges")


def check_an_iterator(part: ModuleType) -> None:
    """train_byte_pairs: words may come from an iterator, and as tuples"""
    words = [((0, 0, 1), 2), ((0, 1), 1)]
    got = part.train_byte_pairs(iter(words), 2, 4)
    assert_equal(got, [(0, 1, 2), (0, 2, 3)], "the list of merges of an iterator's words")


def check_random_words(part: ModuleType) -> None:
    """train_byte_pairs: random words, against counting anew for each merge"""
    rng = random.Random(1)
    for _ in range(150):
        letters = rng.randint(1, 5)
        words = [
            ([rng.randrange(letters) for _ in range(rng.randrange(9))], rng.randint(1, 4))
            for _ in range(rng.randint(1, 15))
        ]
        trains(part, f"{words}", words, letters, letters + rng.randint(1, 15))


# The last one: code that counts anew for each merge is stopped here, and not judged on.
def check_many_words(part: ModuleType) -> None:
    """train_byte_pairs: 4,000 words and 1,200 merges, each of which touches few of them"""
    rng = random.Random(2)
    words = [
        ([rng.randrange(40) for _ in range(rng.randint(2, 10))], 1 + 9000 // (i + 1))
        for i in range(4000)
    ]
    got = part.train_byte_pairs(words, 40, 1240)
    assert_equal(got[:12], naive(words, 40, 52), "the list of the first merges")
    assert_equal(len(got), 1200, "the number of merges")
    made = [joined for _, _, joined in got]
    if made != list(range(40, 1240)):
        raise CheckFailure("the symbols made are not 40, 41, 42, ... in order")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` words of up to 12 symbols, 300 merges."""
    rng = random.Random(0)
    words = [
        ([rng.randrange(30) for _ in range(rng.randint(2, 12))], rng.randint(1, 99))
        for _ in range(size)
    ]
    return lambda: part.train_byte_pairs(words, 30, 330)


SIZE = 2000
