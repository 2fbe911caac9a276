"""Checks of `groundup.tokenizers.byte_pair_encoding`. Oracle: the definition, done naively."""

import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import ModuleType

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError

Ranks = dict[tuple[int, int], tuple[int, int]]


def naive(symbols: list[int], ranks: Ranks) -> list[int]:
    """Every step looks at all pairs: clear, and quadratic."""
    ids = list(symbols)
    while found := [(ranks[pair][0], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]:
        _, i = min(found)
        ids[i : i + 2] = [ranks[ids[i], ids[i + 1]][1]]
    return ids


def encodes(part: ModuleType, cases: dict[str, tuple[list[int], Ranks]]) -> None:
    expected = {case: naive(symbols, ranks) for case, (symbols, ranks) in cases.items()}
    for case, (symbols, ranks) in cases.items():
        got = part.byte_pair_encode(symbols, ranks)
        assert_equal(got, expected[case], f"the encoding of {case}")


def check_alphabet_is_printable(part: ModuleType) -> None:
    """byte_alphabet: 256 different characters, one for each byte in order, all of them visible"""
    alphabet = part.byte_alphabet()
    assert_equal(list(alphabet), list(range(256)), "the list of bytes in the alphabet")
    assert_equal(len(set(alphabet.values())), 256, "the number of different characters")
    for byte, character in alphabet.items():
        if len(character) != 1 or not character.isprintable() or character.isspace():
            raise CheckFailure(f"byte {byte:#04x} has {character!r}: expected a visible character")


def check_alphabet_characters(part: ModuleType) -> None:
    """byte_alphabet: visible bytes stand for themselves, the others take U+0100 and following"""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in visible]
    expected = {byte: chr(byte) for byte in visible}
    expected |= {byte: chr(0x100 + place) for place, byte in enumerate(others)}
    alphabet = part.byte_alphabet()
    for byte in range(256):
        assert_equal(alphabet.get(byte), expected[byte], f"the character of byte {byte:#04x}")


def check_merge_ranks(part: ModuleType) -> None:
    """merge_ranks: pairs of ids, with the merge's place in the list and the joined token's id"""
    vocabulary = {"c": 8, "a": 3, "b": 1, "ab": 7, "bc": 0, "abc": 5, "unused": 6}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
    expected = {(3, 1): (0, 7), (1, 8): (1, 0), (7, 8): (2, 5), (3, 0): (3, 5)}
    example = {(0, 1): (0, 2)}
    assert_equal(part.merge_ranks({"a": 0, "b": 1, "ab": 2}, [("a", "b")]), example, "the example")
    assert_equal(part.merge_ranks(vocabulary, merges), expected, "the ranks of four merges")
    assert_equal(part.merge_ranks(vocabulary, []), {}, "the ranks of no merges")
    twice = [("a", "b"), ("b", "c"), ("a", "b")]
    got = part.merge_ranks(vocabulary, twice)
    assert_equal(got, {(3, 1): (2, 7), (1, 8): (1, 0)}, "the ranks where a merge occurs twice")


def check_merges_outside_the_vocabulary(part: ModuleType) -> None:
    """merge_ranks: a merge of tokens that the vocabulary lacks raises GroundupError"""
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    cases = {
        "the left token is missing": ("x", "b"),
        "the right token is missing": ("a", "x"),
        "the joined token is missing": ("b", "a"),
    }
    for when, merge in cases.items():
        call = partial(part.merge_ranks, vocabulary, [("a", "b"), merge])
        assert_raises(GroundupError, call, when)


def check_example(part: ModuleType) -> None:
    """byte_pair_encode: the docstring's example, and words in which nothing can be merged"""
    ranks = {(0, 1): (0, 2), (0, 2): (1, 3)}
    cases = {
        "the example [0, 0, 1, 0]": ([0, 0, 1, 0], ranks),
        "an empty word": ([], ranks),
        "a word of one symbol": ([1], ranks),
        "a word without a pair that merges": ([1, 0, 4, 1, 1], ranks),
        "[0, 1] without any merges": ([0, 1], {}),
        "the pair [0, 1] alone": ([0, 1], ranks),
    }
    encodes(part, cases)


def check_runs_of_one_symbol(part: ModuleType) -> None:
    """byte_pair_encode: in a run of equal symbols the leftmost pair is merged first"""
    once, twice = {(0, 0): (0, 1)}, {(0, 0): (0, 1), (1, 1): (1, 2)}
    odd = {(0, 0): (0, 1), (1, 0): (1, 2), (0, 1): (2, 3)}
    cases = {
        f"{n} zeros, with {name},": ([0] * n, ranks)
        for n in range(2, 10)
        for name, ranks in {"one merge": once, "two merges": twice, "three merges": odd}.items()
    }
    encodes(part, cases)


def check_lowest_rank_first(part: ModuleType) -> None:
    """byte_pair_encode: the lowest rank is merged first, wherever it stands and whatever its id"""
    cases: dict[str, tuple[list[int], Ranks]] = {
        "[0, 1, 2], (1, 2) before (0, 1),": ([0, 1, 2], {(0, 1): (1, 3), (1, 2): (0, 9)}),
        "[0, 1, 2], (0, 1) before (1, 2),": ([0, 1, 2], {(0, 1): (0, 9), (1, 2): (1, 3)}),
        "[0, 1, 2, 3], the middle first,": (
            [0, 1, 2, 3],
            {(0, 1): (1, 4), (1, 2): (0, 5), (2, 3): (2, 6)},
        ),
        "[0, 1, 1, 2], two pairs that share no symbol,": (
            [0, 1, 1, 2],
            {(0, 1): (7, 5), (1, 2): (3, 6), (5, 6): (9, 8)},
        ),
    }
    encodes(part, cases)


def check_a_merge_creates_pairs(part: ModuleType) -> None:
    """byte_pair_encode: a pair that a merge creates, on either side, takes its turn by rank"""
    cases: dict[str, tuple[list[int], Ranks]] = {
        "[3, 0, 1], a new pair on the left,": ([3, 0, 1], {(0, 1): (0, 2), (3, 2): (1, 4)}),
        "[0, 1, 3], a new pair on the right,": ([0, 1, 3], {(0, 1): (0, 2), (2, 3): (1, 4)}),
        "[0, 1, 5, 0, 1], a new pair of a lower rank than the merge just made,": (
            [0, 1, 5, 0, 1],
            {(0, 1): (4, 2), (2, 5): (0, 6), (5, 2): (1, 7)},
        ),
        "[0, 1, 0, 1, 0, 1], each merge making a new pair with the last,": (
            [0, 1, 0, 1, 0, 1],
            {(0, 1): (3, 2), (2, 0): (1, 4), (4, 1): (0, 2), (2, 2): (2, 5)},
        ),
        "[0, 1, 2, 3], whose middle pair vanishes,": (
            [0, 1, 2, 3],
            {(0, 1): (0, 4), (1, 2): (1, 5), (2, 3): (2, 6), (4, 6): (3, 7)},
        ),
        "[0, 0, 0], a merge whose result is one of its own symbols,": (
            [0, 0, 0],
            {(0, 0): (0, 0)},
        ),
    }
    encodes(part, cases)


def check_random_words(part: ModuleType) -> None:
    """byte_pair_encode: random words with random merges, against the definition"""
    rng = random.Random(1)
    pairs = [(a, b) for a in range(7) for b in range(7)]
    found: list[tuple[list[int], Ranks]] = []
    for _ in range(400):
        some = rng.sample(pairs, rng.randint(1, 30))
        ranks = {pair: (rank, rng.randint(0, 10)) for rank, pair in enumerate(some)}
        found.append((rng.choices(range(rng.randint(1, 4)), k=rng.randint(2, 14)), ranks))
    found.sort(key=lambda case: len(case[0]) + len(case[1]))  # the simplest failure is shown
    encodes(part, {f"{word} with the ranks {ranks}": (word, ranks) for word, ranks in found})


def check_repeated_calls(part: ModuleType) -> None:
    """byte_pair_encode: earlier calls have no effect on later ones"""
    word = [0, 1, 0]
    first: Ranks = {(0, 1): (0, 2), (1, 0): (1, 3)}
    second: Ranks = {(0, 1): (1, 2), (1, 0): (0, 3)}
    assert_equal(part.byte_pair_encode(word, first), [2, 0], "the encoding of [0, 1, 0]")
    assert_equal(part.byte_pair_encode(word, second), [0, 3], "the encoding with other ranks")
    word[:] = [1, 0, 1]
    got = part.byte_pair_encode(word, first)
    assert_equal(got, [1, 2], "the encoding of the same list with new symbols")
    got.append(9)
    assert_equal(part.byte_pair_encode(word, first), [1, 2], "the encoding after that change")


# The last one: code that walks over the word for every merge is stopped here, and not judged on.
def check_long_words(part: ModuleType) -> None:
    """byte_pair_encode: words of 20,000 symbols are encoded in time that hardly grows per symbol"""
    n = 20_000
    doubling = {(level, level): (level, level + 1) for level in range(20)}
    powers = [level for level in reversed(range(20)) if n >> level & 1]  # 20,000 in binary
    order = random.Random(2).sample(range(n // 2), n // 2)
    distinct = {(2 * i, 2 * i + 1): (rank, n + i) for i, rank in enumerate(order)}
    growing = {(n + i, 1): (i, n + i + 1) for i in range(n)}
    cases = {
        "20,000 equal symbols": ([0] * n, doubling, powers),
        "10,000 different pairs": (list(range(n)), distinct, list(range(n, n + n // 2))),
        "a token that grows by one symbol 19,999 times": (
            [n] + [1] * (n - 1),
            growing,
            [2 * n - 1],
        ),
    }
    for case, (symbols, ranks, want) in cases.items():
        assert_equal(part.byte_pair_encode(symbols, ranks), want, f"the encoding of {case}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one word of ``size`` symbols, with merges of merged tokens."""
    rng = random.Random(0)
    pairs = [(a, b) for a in range(8) for b in range(8)]
    pairs += [(a, b) for a in range(8, 72) for b in range(8, 72)]
    ranks = {pair: (rank, 8 + rank) for rank, pair in enumerate(pairs)}
    word = rng.choices(range(8), k=size)
    return lambda: part.byte_pair_encode(word, ranks)


SIZE = 2000
