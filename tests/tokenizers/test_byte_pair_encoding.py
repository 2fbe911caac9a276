"""Byte-pair encoding alone, against the definition carried out naively."""

import random
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.tokenizers.byte_pair_encoding import byte_alphabet, byte_pair_encode, merge_ranks
from tokenizers import pre_tokenizers

Ranks = dict[tuple[int, int], tuple[int, int]]


def naive(symbols: list[int], ranks: Ranks) -> list[int]:
    ids = list(symbols)
    while found := [(ranks[p][0], i) for i, p in enumerate(pairwise(ids)) if p in ranks]:
        _, i = min(found)
        ids[i : i + 2] = [ranks[ids[i], ids[i + 1]][1]]
    return ids


@st.composite
def words_and_ranks(draw: st.DrawFn) -> tuple[list[int], Ranks]:
    """Words of few symbols, and merges of any pairs, which need not come in a trained order."""
    pairs = draw(
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), unique=True, max_size=40)
    )
    results = draw(st.lists(st.integers(0, 12), min_size=len(pairs), max_size=len(pairs)))
    order = draw(st.permutations(range(len(pairs))))
    ranks = dict(zip(pairs, zip(order, results, strict=True), strict=True))
    return draw(st.lists(st.integers(0, 3), max_size=24)), ranks


@settings(max_examples=2000, deadline=None)
@given(words_and_ranks())
def test_equals_the_naive_definition(case: tuple[list[int], Ranks]) -> None:
    symbols, ranks = case
    assert byte_pair_encode(symbols, ranks) == naive(symbols, ranks)


@pytest.mark.parametrize(
    ("symbols", "ranks", "expected"),
    [
        ([], {}, []),
        ([5], {(5, 5): (0, 6)}, [5]),
        ([0, 0, 0], {(0, 0): (0, 1)}, [1, 0]),  # leftmost first: not [0, 1]
        ([0, 0, 0, 0], {(0, 0): (0, 1), (1, 1): (1, 2)}, [2]),  # more than one pass
        ([0, 1, 2], {(0, 1): (1, 3), (1, 2): (0, 9)}, [0, 9]),  # by rank, not by joined id
        # 0 1 may no longer be joined early once 1 has become 4, though 0 4 may be joined late.
        (
            [0, 1, 2, 3],
            {(1, 2): (0, 4), (0, 1): (1, 9), (4, 3): (2, 5), (0, 4): (3, 6)},
            [0, 5],
        ),
        ([0, 0, 1, 0], {(0, 1): (0, 2), (0, 2): (1, 3)}, [3, 0]),  # the docstring's example
    ],
)
def test_small_words(symbols: list[int], ranks: Ranks, expected: list[int]) -> None:
    assert byte_pair_encode(symbols, ranks) == expected


def test_the_symbols_are_not_changed() -> None:
    symbols = [0, 0, 0]
    byte_pair_encode(symbols, {(0, 0): (0, 1)})
    assert symbols == [0, 0, 0]


def test_work_grows_almost_linearly_with_a_long_word() -> None:
    """Counted in look-ups, not in time: a walk over the word per merge would make 10^9 of them."""

    class Counting(dict[tuple[int, int], tuple[int, int]]):
        lookups = 0

        def get(self, key: tuple[int, int], default: object = None) -> tuple[int, int] | None:  # type: ignore[override]
            Counting.lookups += 1
            return super().get(key)

        def __contains__(self, key: object) -> bool:
            Counting.lookups += 1
            return super().__contains__(key)

        def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
            Counting.lookups += 1
            return super().__getitem__(key)

    doubling = Counting({(i, i): (i, i + 1) for i in range(20)})
    assert byte_pair_encode([0] * 2**16, doubling) == [16]
    assert 2**16 < Counting.lookups < 10 * 2**16


def test_the_alphabet_is_the_one_of_the_tokenizers_library() -> None:
    alphabet = byte_alphabet()
    assert list(alphabet) == list(range(256))
    assert set(alphabet.values()) == set(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in string.printable + "é£Ж漢😀\x00\x7f\x80\xad":
        ((spelled, _),) = level.pre_tokenize_str(character)
        assert spelled == "".join(alphabet[byte] for byte in character.encode())


def test_merges_become_ranks() -> None:
    vocabulary = {"a": 3, "b": 1, "ab": 7, "aba": 2}
    assert merge_ranks(vocabulary, [("a", "b"), ("ab", "a")]) == {(3, 1): (0, 7), (7, 3): (1, 2)}


@pytest.mark.parametrize("merge", [("a", "x"), ("x", "a"), ("a", "a")])
def test_a_merge_outside_the_vocabulary_is_an_error(merge: tuple[str, str]) -> None:
    with pytest.raises(GroundupError, match=r"the merges use the token '(x|aa)', which"):
        merge_ranks({"a": 0, "b": 1, "ab": 2}, [("a", "b"), merge])


def planted(symbols: list[int], ranks: Ranks, mistake: str) -> list[int]:
    ids = list(symbols)
    for _ in range(1 if mistake == "one pass" else len(ids)):
        found = [(ranks[p][0], i) for i, p in enumerate(pairwise(ids)) if p in ranks]
        if not found:
            break
        if mistake == "rightmost":
            found = [(rank, -i) for rank, i in found]
        if mistake == "by id":
            found = [(ranks[ids[i], ids[i + 1]][1], i) for _, i in found]
        i = abs(min(found)[1])
        pair = (ids[i], ids[i + 1])
        if mistake == "overlap":  # every occurrence, those that share a symbol too
            ids = [ranks[pair][1] if p == pair else p[0] for p in pairwise(ids)] + (
                [] if (ids[-2], ids[-1]) == pair else [ids[-1]]
            )
        else:
            ids[i : i + 2] = [ranks[pair][1]]
    return ids


@pytest.mark.parametrize("mistake", ["rightmost", "by id", "one pass", "overlap"])
def test_the_comparison_sees_planted_mistakes(mistake: str) -> None:
    rng = random.Random(1)
    ranks = {(0, 0): (1, 3), (0, 1): (0, 4), (3, 0): (2, 2), (4, 0): (3, 5), (1, 0): (4, 1)}
    words = [rng.choices([0, 1], k=8) for _ in range(50)]
    assert all(byte_pair_encode(word, ranks) == naive(word, ranks) for word in words)
    assert any(planted(word, ranks, mistake) != naive(word, ranks) for word in words)
