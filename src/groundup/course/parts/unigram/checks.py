"""Checks of `groundup.tokenizers.unigram`. Oracle: every segmentation, written out."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise, product
from random import Random
from types import ModuleType

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

Spans = list[tuple[int, int]]

EXAMPLE = {"a": -1.0, "b": -2.0, "ab": -2.5}


def every(
    word: str, scores: Mapping[str, float], unknown: float, longest: int
) -> list[tuple[float, Spans]]:
    """All segmentations with their scores, the best first."""
    found: list[tuple[float, Spans]] = []
    for cuts in product([False, True], repeat=max(0, len(word) - 1)):
        places = [0, *(i for i, cut in enumerate(cuts, 1) if cut), len(word)]
        spans = list(pairwise(places)) if word else []
        parts = [word[start:end] for start, end in spans]
        if all(len(p) == 1 or (p in scores and len(p) <= longest) for p in parts):
            found.append((sum(scores.get(part, unknown) for part in parts), spans))
    return sorted(found, key=lambda one: -one[0])


def random_case(rng: random.Random, length: int) -> tuple[str, dict[str, float]]:
    """Scores without ties, of letters (not all of them) and longer tokens."""
    tokens = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(12)]
    return "".join(rng.choices("abcd", k=length)), {t: -rng.uniform(1, 9) for t in tokens}


def segments(
    part: ModuleType, word: str, scores: dict[str, float], unknown: float, longest: int, want: Spans
) -> None:
    got = part.best_segmentation(word, scores, unknown, longest)
    assert_equal(got, want, f"the segmentation of {word!r} with {scores}")


def check_best_example(part: ModuleType) -> None:
    """best_segmentation: the docstring's example, and words of no and of one character"""
    segments(part, "abc", EXAMPLE, -10.0, 2, [(0, 2), (2, 3)])
    segments(part, "", EXAMPLE, -10.0, 2, [])
    segments(part, "a", EXAMPLE, -10.0, 2, [(0, 1)])
    segments(part, "z", EXAMPLE, -10.0, 2, [(0, 1)])


def score_of(word: str, spans: object, scores: dict[str, float], unknown: float) -> float:
    """The score of a segmentation. Fails unless it is one."""
    if not isinstance(spans, list) or [i for span in spans for i in range(*span)] != [
        *range(len(word))
    ]:
        raise CheckFailure(f"the parts of {word!r} are {spans!r}: expected to cover it in order")
    parts = [word[start:end] for start, end in spans]
    if wrong := [p for p in parts if len(p) != 1 and p not in scores]:
        raise CheckFailure(f"{wrong[0]!r} is a part of {word!r}: it is no token")
    return sum(scores.get(part, unknown) for part in parts)


def check_best_is_the_likeliest(part: ModuleType) -> None:
    """best_segmentation: no segmentation of random words scores higher"""
    rng = random.Random(1)
    for _ in range(200):
        word, scores = random_case(rng, rng.randint(1, 8))
        want, best = every(word, scores, -12.0, 4)[0]
        got = part.best_segmentation(word, scores, -12.0, 4)
        score = score_of(word, got, scores, -12.0)
        if abs(score - want) > 1e-9:
            raise CheckFailure(f"{word!r} is cut into {got}, {score:.3f}: {best} scores {want:.3f}")


def check_greedy_is_not_best(part: ModuleType) -> None:
    """best_segmentation: where the longest token first, or the likeliest first, goes wrong"""
    scores = {"abc": -3.0, "d": -9.0, "ab": -3.5, "cd": -3.5, "a": -4.0, "b": -4.0, "c": -4.0}
    segments(part, "abcd", scores, -20.0, 3, [(0, 2), (2, 4)])
    fewest = {"a": -1.0, "b": -1.0, "ab": -2.5}
    segments(part, "ab", fewest, -20.0, 2, [(0, 1), (1, 2)])


def check_ties(part: ModuleType) -> None:
    """best_segmentation: of equal scores, the one whose last token starts first"""
    scores = {"a": -2.0, "aa": -2.0}
    segments(part, "aaa", scores, -20.0, 2, [(0, 1), (1, 3)])
    segments(part, "aaaaa", scores, -20.0, 2, [(0, 1), (1, 3), (3, 5)])
    segments(part, "ab", {"a": -1.0, "b": -1.0, "ab": -2.0}, -20.0, 2, [(0, 2)])


def check_unknown_characters(part: ModuleType) -> None:
    """best_segmentation: a character without a token costs the unknown score, as a part"""
    scores = {"a": -1.0, "bzb": -30.0, "b": -2.0}
    segments(part, "azza", scores, -10.0, 3, [(0, 1), (1, 2), (2, 3), (3, 4)])
    segments(part, "bzb", scores, -10.0, 3, [(0, 1), (1, 2), (2, 3)])
    segments(part, "bzb", scores, -50.0, 3, [(0, 3)])


def check_longest(part: ModuleType) -> None:
    """best_segmentation: tokens of up to `longest` characters are looked for, and no longer ones"""
    scores = {"a": -5.0, "b": -5.0, "c": -5.0, "abc": -1.0}
    segments(part, "abc", scores, -20.0, 3, [(0, 3)])
    segments(part, "abc", scores, -20.0, 2, [(0, 1), (1, 2), (2, 3)])


def check_long_words(part: ModuleType) -> None:
    """best_segmentation: 5,000 characters, in time that grows with the length"""
    scores = {"a": -2.0, "aa": -3.0, "aaaa": -5.0}
    want = [(i, i + 4) for i in range(0, 5000, 4)]
    segments(part, "a" * 5000, scores, -20.0, 4, want)


def check_n_best(part: ModuleType) -> None:
    """best_segmentations: the n best of random words, the best first, with their scores"""
    got = part.best_segmentations("ab", EXAMPLE, -10.0, 2, 2)
    assert_equal(got, [(-2.5, [(0, 2)]), (-3.0, [(0, 1), (1, 2)])], "the example")
    rng = random.Random(2)
    for _ in range(100):
        word, scores = random_case(rng, rng.randint(1, 7))
        n = rng.choice([1, 2, 3, 10, 100])
        want = every(word, scores, -12.0, 4)[:n]
        got = part.best_segmentations(word, scores, -12.0, 4, n)
        assert_equal(len(got), len(want), f"the number of segmentations of {word!r}, n = {n},")
        if len({tuple(spans) for _, spans in got}) < len(got):
            raise CheckFailure(f"two of the {n} best segmentations of {word!r} are the same: {got}")
        for (score, spans), (expected, _) in zip(got, want, strict=True):
            real = score_of(word, spans, scores, -12.0)
            if abs(score - expected) > 1e-9 or abs(real - score) > 1e-9:
                raise CheckFailure(
                    f"of {word!r} {spans} has the score {score}: it scores {real}, and the best in "
                    f"this place {expected}"
                )


def check_n_best_of_few(part: ModuleType) -> None:
    """best_segmentations: fewer where there are fewer, one for no characters, none is an error"""
    assert_equal(part.best_segmentations("a", EXAMPLE, -10.0, 2, 5), [(-1.0, [(0, 1)])], "of 'a'")
    assert_equal(part.best_segmentations("", EXAMPLE, -10.0, 2, 5), [(0.0, [])], "of no characters")
    for n in (0, -1):
        call = partial(part.best_segmentations, "ab", EXAMPLE, -10.0, 2, n)
        assert_raises(ValueError, call, f"n is {n}")


def check_sampling(part: ModuleType) -> None:
    """sample_segmentation: each segmentation as often as its probability says"""
    scores = {"a": -1.0, "b": -1.5, "c": -2.0, "ab": -2.0, "bc": -2.5, "abc": -4.0}
    for temperature in (1.0, 3.0):
        ways = every("abcz", scores, -9.0, 3)
        weights = [math.exp(score / temperature) for score, _ in ways]
        random_numbers, n = Random(3), 4000
        drawn = Counter(
            tuple(part.sample_segmentation("abcz", scores, -9.0, 3, temperature, random_numbers))
            for _ in range(n)
        )
        for (_, spans), weight in zip(ways, weights, strict=True):
            p = weight / sum(weights)
            if abs(drawn[tuple(spans)] / n - p) > 5 * math.sqrt(p * (1 - p) / n):
                raise CheckFailure(
                    f"at temperature {temperature}, {spans} came {drawn[tuple(spans)] / n:.3f} of "
                    f"the time: its probability is {p:.3f}"
                )


def check_sampling_ends(part: ModuleType) -> None:
    """sample_segmentation: the best at a low temperature, long words, and bad temperatures"""
    rng = random.Random(4)
    for _ in range(30):
        word, scores = random_case(rng, rng.randint(0, 8))
        want = every(word, scores, -12.0, 4)[0][1]
        got = part.sample_segmentation(word, scores, -12.0, 4, 1e-6, Random(5))
        assert_equal(got, want, f"the draw for {word!r} at a temperature near 0")
    spans = part.sample_segmentation("ab" * 2000, EXAMPLE, -10.0, 2, 1.0, Random(6))
    joined = [place for span in spans for place in range(*span)]
    assert_equal(joined, list(range(4000)), "the characters of a long word's parts")
    for temperature in (0.0, -1.0, math.nan):
        call = partial(part.sample_segmentation, "ab", EXAMPLE, -9.0, 2, temperature, Random(1))
        assert_raises(ValueError, call, f"the temperature is {temperature}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the best segmentation of one word of ``size`` characters."""
    rng = random.Random(0)
    scores = {
        "".join(rng.choices("abcdef", k=rng.randint(1, 6))): -rng.uniform(1, 9) for _ in range(900)
    }
    word = "".join(rng.choices("abcdef", k=size))
    return lambda: part.best_segmentation(word, scores, -20.0, 6)


SIZE = 3000
