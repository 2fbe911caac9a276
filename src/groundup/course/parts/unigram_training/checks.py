"""Checks of `groundup.tokenizers.unigram_training`. Oracle: every segmentation; torch's digamma."""

import math
import random
from collections.abc import Callable, Mapping
from itertools import pairwise, product
from types import ModuleType

import torch

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal

HALVES = {"a": math.log(0.5), "b": math.log(0.25), "ab": math.log(0.25)}


def every(word: str, scores: Mapping[str, float], longest: int) -> list[tuple[float, list[str]]]:
    """All segmentations into tokens, with their scores, the best first."""
    found = []
    for cuts in product([False, True], repeat=len(word) - 1):
        places = [0, *(i for i, cut in enumerate(cuts, 1) if cut), len(word)]
        parts = [word[start:end] for start, end in pairwise(places)]
        if all(part in scores and len(part) <= longest for part in parts):
            found.append((sum(scores[part] for part in parts), parts))
    return sorted(found, key=lambda one: -one[0])


def random_case(seed: int) -> tuple[dict[str, int], dict[str, float]]:
    """Words of up to eight letters, and tokens without ties."""
    rng = random.Random(seed)
    tokens = {*"abc", *("".join(rng.choices("abc", k=rng.randint(2, 4))) for _ in range(9))}
    words = {"".join(rng.choices("abc", k=rng.randint(1, 8))): rng.randint(1, 9) for _ in range(12)}
    return words, {token: -rng.uniform(1, 6) for token in sorted(tokens)}


def near(got: object, want: Mapping[str, float], what: str, rtol: float = 1e-9) -> None:
    """The same tokens with the same numbers."""
    if not isinstance(got, dict):
        raise CheckFailure(f"{what} is a {type(got).__name__}: expected a dict")
    assert_equal(sorted(got), sorted(want), f"the tokens of {what}")
    for token, value in want.items():
        number = torch.tensor(float(got[token]), dtype=torch.float64)
        expected = torch.tensor(value, dtype=torch.float64)
        assert_close(number, expected, rtol=rtol, atol=1e-12, what=f"{what} for {token!r}")


def check_digamma(part: ModuleType) -> None:
    """digamma: torch's values, from 0.001 to a billion"""
    points = [0.001, 0.1, 0.5, 1.0, 1.5, 2.0, 5.99, 6.0, 7.3, 100.0, 12345.6, 1e9]
    expected = torch.digamma(torch.tensor(points, dtype=torch.float64))
    got = torch.tensor([float(part.digamma(x)) for x in points], dtype=torch.float64)
    assert_close(got, expected, rtol=2e-9, atol=1e-9, what="digamma")


def check_expectation_example(part: ModuleType) -> None:
    """expected_counts: the docstring's example"""
    likelihood, counts = part.expected_counts({"ab": 3}, HALVES, 2)
    near({"": likelihood}, {"": 3 * math.log(0.375)}, "the log-likelihood")
    near(counts, {"a": 1.0, "b": 1.0, "ab": 2.0}, "the expected count")


def check_expectation(part: ModuleType) -> None:
    """expected_counts: all segmentations by their probability, of random words"""
    for seed in range(20):
        words, scores = random_case(seed)
        for longest in (4, 2):
            counts, likelihood = dict.fromkeys(scores, 0.0), 0.0
            for word, count in words.items():
                ways = [(math.exp(score), parts) for score, parts in every(word, scores, longest)]
                total = sum(weight for weight, _ in ways)
                likelihood += count * math.log(total)
                for weight, parts in ways:
                    for token in parts:
                        counts[token] += count * weight / total
            got, got_counts = part.expected_counts(words, scores, longest)
            near({"": got}, {"": likelihood}, "the log-likelihood")
            near(got_counts, counts, "the expected count")


def check_long_words(part: ModuleType) -> None:
    """expected_counts: 3,000 characters, whose probability is below the smallest float"""
    scores = {"a": -3.0, "b": -4.0, "ab": -6.0}
    ways = math.log(math.exp(-7) + math.exp(-6))
    likelihood, counts = part.expected_counts({"ab" * 1500: 2}, scores, 2)
    near({"": likelihood}, {"": 2 * 1500 * ways}, "the log-likelihood")
    whole = 3000 * math.exp(-6 - ways)
    near(counts, {"a": 3000 - whole, "b": 3000 - whole, "ab": whole}, "the expected count", 1e-6)


def check_new_scores(part: ModuleType) -> None:
    """new_scores: digamma of the counts and of their sum, without the rare ones"""
    expected = {"a": 7.5, "b": 0.0, "c": 0.2, "ab": 3.0, "bc": 0.5, "ca": 0.49, "abc": 0.0}
    kept = {"a": 7.5, "b": 0.5, "c": 0.5, "ab": 3.0, "bc": 0.5}

    def scores(counts: Mapping[str, float]) -> dict[str, float]:
        values = torch.tensor([*counts.values(), sum(counts.values())], dtype=torch.float64)
        found = torch.digamma(values)
        return dict(zip(counts, (found[:-1] - found[-1]).tolist(), strict=True))

    want = scores(kept)
    fewer = scores({"a": 7.5, "b": 3.0, "c": 3.0, "ab": 3.0})
    near(part.new_scores(expected), want, "the new score", 1e-7)
    near(part.new_scores(expected, 3.0), fewer, "the new score with least 3", 1e-7)


def check_likelihood_rises(part: ModuleType) -> None:
    """expected_counts and new_scores: rounds of both raise the likelihood of a large corpus"""
    words, scores = random_case(3)
    words = {word: 1000 * count for word, count in words.items()}
    total = math.log(sum(map(math.exp, scores.values())))
    scores = {token: score - total for token, score in scores.items()}
    before, counts = part.expected_counts(words, scores, 4)
    for _ in range(5):
        after, counts = part.expected_counts(words, part.new_scores(counts), 4)
        if after < before - 50:  # digamma is not quite the logarithm
            raise CheckFailure(f"the log-likelihood fell from {before:.1f} to {after:.1f}")
        before = after


def check_losses(part: ModuleType) -> None:
    """removal_losses: what each token's removal costs, by counts of the likeliest segmentations"""
    for seed in range(20):
        words, scores = random_case(seed)
        counts = dict.fromkeys(scores, 0)
        for word, count in words.items():
            for token in every(word, scores, 4)[0][1]:
                counts[token] += count
        total = sum(counts.values())
        want = {}
        for token in scores:
            if len(token) == 1:
                continue
            _, parts = every(token, scores, len(token) - 1)[0]
            c = counts[token]
            want[token] = 0.0
            if c:
                rest = math.log(total + (len(parts) - 1) * c)
                gain = sum(math.log(counts[p] + c) - rest for p in parts)
                want[token] = c * (math.log(c / total) - gain)
        near(part.removal_losses(words, scores, 4), want, "the loss")


def check_losses_of_the_useless(part: ModuleType) -> None:
    """removal_losses: 0 for what is never used or likelier in parts; none for single characters"""
    scores = {"a": -1.0, "b": -1.0, "ab": -1.5, "ba": -5.0, "aa": -1.9}
    losses = part.removal_losses({"ab": 5, "baba": 1}, scores, 2)
    assert_equal(sorted(losses), ["aa", "ab", "ba"], "the list of tokens with a loss")
    assert_equal((losses["ba"], losses["aa"]), (0.0, 0.0), "the losses of ba and aa")
    if not losses["ab"] > 0:
        raise CheckFailure(f"the loss of ab is {losses['ab']}: expected more than 0")


def check_training(part: ModuleType) -> None:
    """train_unigram: the size, the characters and the useful tokens"""
    words = {
        "walking": 30,
        "walked": 20,
        "talking": 25,
        "talked": 15,
        "walk": 40,
        "talk": 10,
        "q": 1,
    }
    parts = {
        word[i:j] for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1)
    }
    seeds = {token: -math.log(len(parts)) for token in sorted(parts)}
    characters = {token for token in parts if len(token) == 1}
    for size in (len(characters), len(characters) + 1, len(characters) + 5):
        got = part.train_unigram(words, seeds, size, 7)
        assert_equal(len(got), size, f"the number of tokens for the size {size}")
        if missing := characters - got.keys():
            raise CheckFailure(f"the character {min(missing)!r} is no token of {sorted(got)}")
    longer = {token for token in got if len(token) > 1}
    if not any("walk" in token for token in longer):
        raise CheckFailure(f"no token with 'walk', the most frequent word, is in {sorted(longer)}")
    assert_equal(seeds, dict.fromkeys(sorted(parts), -math.log(len(parts))), "the seeds afterwards")


def check_pruning(part: ModuleType) -> None:
    """train_unigram: the tokens that are left make the corpus likely"""
    rng = random.Random(7)
    syllables = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 3))) for _ in range(50)]
    words = {
        "".join(rng.choices(syllables, k=rng.randint(1, 3))): 61 // (i + 1) + 1 for i in range(150)
    }
    places = [(w, i, j) for w in words for i in range(len(w)) for j in range(i + 1, i + 7)]
    seeds = dict.fromkeys(sorted({w[i:j] for w, i, j in places}), -5.0)
    for size, least in ((40, -8.2), (60, -7.4), (80, -7.0)):
        got = part.train_unigram(words, seeds, size, 6)
        assert_equal(len(got), size, "the number of tokens")
        total = math.log(sum(map(math.exp, got.values())))
        scores = {token: score - total for token, score in got.items()}
        likelihood = sum(
            count * math.log(sum(math.exp(score) for score, _ in every(word, scores, 6)))
            for word, count in words.items()
        ) / sum(words.values())
        if likelihood < least:
            raise CheckFailure(
                f"with {size} tokens a word's mean log-likelihood is {likelihood:.2f}: with those "
                f"that are worth most it is above {least}"
            )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the expectation over ``size`` words of eight letters."""
    rng = random.Random(0)
    scores = {
        "".join(rng.choices("abcdef", k=rng.randint(1, 5))): -rng.uniform(1, 9) for _ in range(900)
    }
    scores |= dict.fromkeys("abcdef", -3.0)
    words = {"".join(rng.choices("abcdef", k=8)): 1 for _ in range(size)}
    return lambda: part.expected_counts(words, scores, 5)


SIZE = 500
