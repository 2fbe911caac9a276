"""``unigram_training.py`` in compiled loops, and the tokens to begin with."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .string_table import StringTable, find, mixed
from .unigram_training import digamma
from .word_counts import WordCounts

__all__ = ["seed_tokens", "train_unigram"]

LONGEST = 16  # characters of a token
MOST_SEEDS = 1_000_000


def seed_tokens(corpus: WordCounts, most: int = MOST_SEEDS) -> tuple[StringTable, NDArray[Any]]:
    """All characters, and the substrings of words that are frequent for their length.

    A substring of two to 16 characters counts if it occurs at least twice and is not always
    followed by the same character. Those with the highest count times length are taken.

    Returns: the tokens, and their first scores: the logarithms of their shares.
    """
    codes, ends, counts = corpus.words.codes, corpus.words.ends, corpus.counts
    lengths = np.diff(ends)
    stop = np.repeat(ends[1:], lengths)  # where the word of each place ends
    weights = np.repeat(counts, lengths).astype(np.float64)
    alphabet, letters = np.unique(codes, return_inverse=True)
    places = np.arange(len(codes))
    ids, n = letters, len(alphabet)
    weight = np.bincount(letters, weights, minlength=n)
    example = np.zeros(n, np.int64)
    example[letters] = places
    starts, sizes, values = [example], [np.ones(n, np.int64)], [weight]
    for size in range(2, LONGEST + 2):
        inside = places + size <= stop[places]
        places, ids = places[inside], ids[inside]
        longer, inverse = np.unique(
            ids * len(alphabet) + letters[places + size - 1], return_inverse=True
        )
        longer_weight = np.bincount(inverse, weights[places], minlength=len(longer))
        if size > 2:
            most_alike = np.zeros(n)
            np.maximum.at(most_alike, longer // len(alphabet), longer_weight)
            worth = (weight >= 2) & (weight > most_alike)
            starts.append(example[worth])
            sizes.append(np.full(int(worth.sum()), size - 1))
            values.append(weight[worth] * (size - 1))
        frequent = longer_weight >= 2
        renumbered = np.cumsum(frequent) - 1
        kept = frequent[inverse]
        places, ids = places[kept], renumbered[inverse[kept]]
        weight, n = longer_weight[frequent], int(frequent.sum())
        example = np.zeros(n, np.int64)
        example[ids] = places
    first, size_of, value = map(np.concatenate, (starts, sizes, values))
    best = np.argsort(-value[len(alphabet) :], kind="stable")[:most] + len(alphabet)
    chosen = np.concatenate((np.arange(len(alphabet)), best))
    table = StringTable()
    table.intern(codes, first[chosen], first[chosen] + size_of[chosen])
    return table, np.log(value[chosen] / value[chosen].sum())


def train_unigram(
    corpus: WordCounts, size: int, advance: Callable[[int], None] = lambda left: None
) -> list[tuple[str, float]]:
    """Tokens and scores, the highest first, as the readable ``train_unigram`` finds them.

    ``advance`` is told how many tokens are left after each round.
    """
    text = (corpus.words.codes, corpus.words.ends, corpus.counts)
    tokens, scores = seed_tokens(corpus)
    wanted = int(1.1 * size)
    while True:
        for _ in range(2):
            expected = np.zeros(len(tokens))
            _expect(*text, *tokens.arrays, scores, expected)
            single = np.diff(tokens.ends) == 1
            kept = single | (expected >= 0.5)
            tokens = _chosen(tokens, kept)
            scores = _digammas(np.maximum(expected[kept], 0.5))
        advance(len(tokens))
        if len(tokens) <= wanted:
            break
        counts, losses = np.zeros(len(tokens)), np.zeros(len(tokens))
        _cut(*text, *tokens.arrays, scores, counts)
        _lose(tokens.codes, tokens.ends, *tokens.arrays, scores, counts, losses)
        single = np.diff(tokens.ends) == 1
        room = max(wanted, len(tokens) * 3 // 4) - int(single.sum())
        ranked = np.argsort(-np.where(single, 0, losses), kind="stable")
        ranked = ranked[: int(((losses > 0) & ~single).sum())]
        if room >= len(ranked):
            wanted = max(wanted, int(single.sum()) + len(ranked))
        kept = single
        kept[ranked[:room]] = True
        tokens, scores = _chosen(tokens, kept), scores[kept]
    single = np.diff(tokens.ends) == 1
    order = np.lexsort((-scores, ~single))[:size]
    order = order[np.argsort(-scores[order], kind="stable")]
    strings = tokens.strings()
    return [(strings[i], float(scores[i])) for i in order]


def _chosen(tokens: StringTable, kept: NDArray[np.bool_]) -> StringTable:
    table = StringTable()
    table.intern(tokens.codes, tokens.ends[:-1][kept], tokens.ends[1:][kept])
    return table


_digamma = njit(digamma)


@njit(cache=True, nogil=True)
def _digammas(counts: Any) -> Any:
    scores = np.empty(len(counts))
    total = _digamma(counts.sum())
    for i in range(len(counts)):
        scores[i] = _digamma(counts[i]) - total
    return scores


@njit(cache=True, nogil=True)
def _edges(
    codes: Any, first: int, end: int, longest: int,
    slots: Any, hashes: Any, token_ends: Any, token_codes: Any, edges: Any,
) -> Any:  # fmt: skip
    """(start, end, token) of each token in a word, by start, then by end; how many there are."""
    n = 0
    for start in range(first, end):
        hashed = np.uint64(0)
        for i in range(start, min(start + longest, end)):
            hashed = mixed(hashed, codes[i])
            token = find(codes, start, i + 1, hashed, slots, hashes, token_ends, token_codes)
            if token >= 0:
                edges[n, 0], edges[n, 1], edges[n, 2] = start - first, i + 1 - first, token
                n += 1
    return n


@njit(cache=True, nogil=True)
def _add(a: float, b: float) -> Any:
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@njit(cache=True, nogil=True)
def _expect(
    codes: Any, ends: Any, counts: Any,
    slots: Any, hashes: Any, token_ends: Any, token_codes: Any, scores: Any, expected: Any,
) -> Any:  # fmt: skip
    longest_word = np.max(ends[1:] - ends[:-1])
    edges = np.empty((longest_word * LONGEST, 3), np.int64)
    forward, backward = np.empty(longest_word + 1), np.empty(longest_word + 1)
    likelihood = 0.0
    for word in range(len(counts)):
        n = _edges(
            codes,
            ends[word],
            ends[word + 1],
            LONGEST,
            slots,
            hashes,
            token_ends,
            token_codes,
            edges,
        )
        length = ends[word + 1] - ends[word]
        forward[: length + 1] = -np.inf
        backward[: length + 1] = -np.inf
        forward[0], backward[length] = 0.0, 0.0
        for i in range(n):
            start, end = edges[i, 0], edges[i, 1]
            forward[end] = _add(forward[end], forward[start] + scores[edges[i, 2]])
        for i in range(n - 1, -1, -1):
            start, end = edges[i, 0], edges[i, 1]
            score = scores[edges[i, 2]] + backward[end]
            backward[start] = _add(backward[start], score)
            share = np.exp(forward[start] + score - forward[length])
            expected[edges[i, 2]] += counts[word] * share
        likelihood += counts[word] * forward[length]
    return likelihood


@njit(cache=True, nogil=True)
def _best(edges: Any, n: int, length: int, scores: Any, best: Any, last: Any) -> None:
    """The likeliest way through n edges: ``last`` has the edge into each place."""
    best[: length + 1] = -np.inf
    best[0] = 0.0
    for i in range(n):
        score = best[edges[i, 0]] + scores[edges[i, 2]]
        if score > best[edges[i, 1]]:
            best[edges[i, 1]], last[edges[i, 1]] = score, i


@njit(cache=True, nogil=True)
def _cut(
    codes: Any, ends: Any, counts: Any,
    slots: Any, hashes: Any, token_ends: Any, token_codes: Any, scores: Any, cut: Any,
) -> Any:  # fmt: skip
    """How often each token stands in the likeliest segmentations."""
    longest_word = np.max(ends[1:] - ends[:-1])
    edges = np.empty((longest_word * LONGEST, 3), np.int64)
    best, last = np.empty(longest_word + 1), np.empty(longest_word + 1, np.int64)
    for word in range(len(counts)):
        n = _edges(
            codes,
            ends[word],
            ends[word + 1],
            LONGEST,
            slots,
            hashes,
            token_ends,
            token_codes,
            edges,
        )
        place = ends[word + 1] - ends[word]
        _best(edges, n, place, scores, best, last)
        while place > 0:
            cut[edges[last[place], 2]] += counts[word]
            place = edges[last[place], 0]


@njit(cache=True, nogil=True)
def _lose(
    codes: Any, ends: Any, slots: Any, hashes: Any, token_ends: Any, token_codes: Any,
    scores: Any, counts: Any, losses: Any,
) -> Any:  # fmt: skip
    """What the log-likelihood loses without each token of two and more characters."""
    edges = np.empty((LONGEST * LONGEST, 3), np.int64)
    best, last = np.empty(LONGEST + 1), np.empty(LONGEST + 1, np.int64)
    total = counts.sum()
    for token in range(len(losses)):
        length = ends[token + 1] - ends[token]
        count = counts[token]
        if length == 1 or count == 0:
            continue
        n = _edges(
            codes, ends[token], ends[token + 1], length - 1,
            slots, hashes, token_ends, token_codes, edges,
        )  # fmt: skip
        _best(edges, n, length, scores, best, last)
        parts, gained, place = 0, 0.0, length
        while place > 0:
            gained += np.log(counts[edges[last[place], 2]] + count)
            parts += 1
            place = edges[last[place], 0]
        gained -= parts * np.log(total + (parts - 1) * count)
        losses[token] = count * (np.log(count / total) - gained)
