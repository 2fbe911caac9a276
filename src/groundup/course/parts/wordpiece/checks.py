"""Checks of `groundup.tokenizers.wordpiece`. Oracle: all segmentations, of which the greedy one."""

import random
from collections.abc import Callable, Mapping
from types import ModuleType

from groundup.course.grader.compare import assert_equal

Tokens = list[tuple[int, int, int]]

UNKNOWN = 99


def greedy(word: str, vocabulary: Mapping[str, int], prefix: str = "##") -> Tokens:
    """Longest first, by recursion over what is left."""

    def rest(start: int) -> Tokens | None:
        if start == len(word):
            return []
        mark = prefix if start else ""
        fits = [
            end for end in range(start + 1, len(word) + 1) if mark + word[start:end] in vocabulary
        ]
        if not fits:
            return None
        end = max(fits)
        tail = rest(end)
        return None if tail is None else [(vocabulary[mark + word[start:end]], start, end), *tail]

    return rest(0) or [(UNKNOWN, 0, len(word))]


def encodes(part: ModuleType, vocabulary: dict[str, int], words: list[str]) -> None:
    expected = {word: greedy(word, vocabulary) for word in words}
    for word in words:
        got = part.longest_match(word, vocabulary, unknown_id=UNKNOWN)
        assert_equal(got, expected[word], f"the tokens of {word!r}")


def check_example(part: ModuleType) -> None:
    """longest_match: the docstring's example"""
    encodes(part, {"un": 0, "##aff": 1, "##able": 2, "##a": 3}, ["unaffable", "unaffordable", "un"])


def check_longest_first(part: ModuleType) -> None:
    """longest_match: the longest token that fits is taken, even where a shorter would lead on"""
    vocabulary = {"a": 0, "ab": 1, "abc": 2, "##b": 3, "##c": 4, "##bc": 5, "##d": 6, "##cd": 7}
    encodes(part, vocabulary, ["a", "ab", "abc", "abcd", "abd", "acd", "abcbc", "abcc"])
    # ab|##cd would be two tokens; abc leaves a d that is none, and the word is unknown.
    encodes(part, {"ab": 0, "abc": 1, "##cd": 2}, ["abcd", "ab", "abc"])


def check_unknown_words(part: ModuleType) -> None:
    """longest_match: a word in which something fits nowhere is one unknown token as a whole"""
    vocabulary = {"play": 0, "##ing": 1, "##s": 2, "ing": 3}
    encodes(part, vocabulary, ["xplay", "playx", "plaxing", "x", "playings", "singplay"])


def check_inside_and_beginning(part: ModuleType) -> None:
    """longest_match: tokens with the prefix only inside a word, tokens without only at its start"""
    vocabulary = {"in": 0, "##to": 1, "to": 2, "##in": 3, "##": 4, "#": 5, "###": 6, "##a": 7}
    encodes(
        part, vocabulary, ["into", "toin", "inin", "toto", "#", "##", "###", "##a", "in#", "ina"]
    )


def check_other_prefix(part: ModuleType) -> None:
    """longest_match: the prefix is the one given, or none"""
    vocabulary = {"a": 0, "_b": 1, "##b": 2, "b": 3, "bb": 4}
    cases: list[tuple[str, str, Tokens]] = [
        ("_", "ab", [(0, 0, 1), (1, 1, 2)]),
        ("", "abb", [(0, 0, 1), (4, 1, 3)]),
        ("##", "ab", [(0, 0, 1), (2, 1, 2)]),
        ("_", "bba", [(UNKNOWN, 0, 3)]),
    ]
    for prefix, word, expected in cases:
        got = part.longest_match(word, vocabulary, unknown_id=UNKNOWN, prefix=prefix)
        assert_equal(got, expected, f"the tokens of {word!r} with the prefix {prefix!r}")


def check_long_words(part: ModuleType) -> None:
    """longest_match: a word longer than the limit is unknown, one of just that length is not"""
    vocabulary = {"a": 0, "##a": 1}
    for length, limit in [(100, 100), (101, 100), (3, 3), (4, 3)]:
        known = [(0, 0, 1), *((1, i, i + 1) for i in range(1, length))]
        expected = known if length <= limit else [(UNKNOWN, 0, length)]
        options = {} if limit == 100 else {"longest_word": limit}
        got = part.longest_match("a" * length, vocabulary, unknown_id=UNKNOWN, **options)
        assert_equal(got, expected, f"the tokens of {length} letters with the limit {limit}")


def check_any_characters(part: ModuleType) -> None:
    """longest_match: places are characters, of any script"""
    encodes(
        part,
        {"é": 0, "##😀": 1, "東": 2, "##京": 3, "##e": 4},
        ["é😀", "東京", "東e京", "e東", "é"],
    )


def check_random_words(part: ModuleType) -> None:
    """longest_match: random words and vocabularies, against the definition"""
    rng = random.Random(1)
    for _ in range(300):
        pieces = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(12)]
        tokens = [rng.choice(["", "##"]) + piece for piece in pieces]
        vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
        encodes(part, vocabulary, ["".join(rng.choices("abc", k=rng.randint(1, 9)))])


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` words of up to 20 letters."""
    rng = random.Random(0)
    vocabulary = {letter: i for i, letter in enumerate("abcdefgh")}
    for _ in range(3000):
        token = rng.choice(["", "##"]) + "".join(rng.choices("abcdefgh", k=rng.randint(1, 5)))
        vocabulary.setdefault(token, len(vocabulary))
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 20))) for _ in range(size)]
    return lambda: [part.longest_match(word, vocabulary, unknown_id=UNKNOWN) for word in words]


SIZE = 500
