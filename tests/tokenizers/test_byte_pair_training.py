"""Byte-pair training: the readable one against the definition, the compiled one against both."""

import random

import numpy as np
import pytest

from groundup.course.parts.byte_pair_training.checks import naive
from groundup.tokenizers import fused_byte_pair_training
from groundup.tokenizers.byte_pair_training import Merge, train_byte_pairs

Words = list[tuple[list[int], int]]


def fused(words: Words, alphabet: int, size: int, least: int = 1) -> list[Merge]:
    symbols = np.array([s for text, _ in words for s in text], np.int32)
    ends = np.cumsum([0, *(len(text) for text, _ in words)]).astype(np.int64)
    counts = np.array([count for _, count in words], np.int64)
    found = fused_byte_pair_training.train_byte_pairs(symbols, ends, counts, alphabet, size, least)
    return [(left, right, joined) for left, right, joined in found.tolist()]


def random_words(rng: random.Random, letters: int) -> Words:
    return [
        ([rng.randrange(letters) for _ in range(rng.randrange(9))], rng.randint(1, 5))
        for _ in range(rng.randrange(30))
    ]


def test_equals_counting_anew_for_each_merge() -> None:
    rng = random.Random(1)
    for _ in range(300):
        letters = rng.randint(1, 6)
        words, size = random_words(rng, letters), letters + rng.randint(0, 12)
        assert train_byte_pairs(words, letters, size) == naive(words, letters, size)


def test_the_compiled_one_equals_the_readable_one() -> None:
    rng = random.Random(2)
    for _ in range(300):
        letters, least = rng.randint(1, 4), rng.randint(1, 3)
        words, size = random_words(rng, letters), letters + rng.randint(0, 40)
        expected = train_byte_pairs(words, letters, size, least)
        assert fused(words, letters, size, least) == expected


@pytest.mark.parametrize("train", [train_byte_pairs, fused])
def test_nothing_to_join(train: type[object]) -> None:
    corpora: list[Words] = [[], [([], 3)], [([0], 3), ([1], 1)]]
    for words in corpora:
        assert train(words, 2, 10) == []  # type: ignore[call-arg]
    assert train([([0, 1], 1)], 2, 2) == []  # type: ignore[call-arg]


def test_many_symbols_in_one_word() -> None:
    """Tables grow, and the counts of one word exceed 32 bits."""
    rng = random.Random(4)
    words = [([rng.randrange(300) for _ in range(40_000)], 1 << 40), ([1, 2] * 50, 1)]
    assert fused(words, 300, 340) == train_byte_pairs(words, 300, 340)
