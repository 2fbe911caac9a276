"""Unigram tokenisation: of all ways to cut a word into tokens, the likeliest, or a random one.

Tokens are drawn independently, each with its probability, so that a segmentation's log-probability
is the sum of its tokens' scores. Source: Kudo 2018, "Subword Regularization: Improving Neural
Network Translation Models with Multiple Subword Candidates", section 3.2 (the model) and 3.3
(sampling); Viterbi 1967 (the search).
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from random import Random

__all__ = ["best_segmentation", "best_segmentations", "sample_segmentation"]

Spans = list[tuple[int, int]]


def best_segmentation(
    word: str, scores: Mapping[str, float], unknown_score: float, longest: int
) -> Spans:
    """The segmentation of the highest score (Viterbi).

    Arguments:
        word: any characters; none give ``[]``.
        scores: ``{token: log-probability}``.
        unknown_score: what a character costs that is no token by itself.
        longest: no token has more characters.

    Returns: (start, end) of each part, in order. A part is a token, or one character where that is
    no token. Of several that score the same, the one in which the last token starts first; where
    that is the same, so for the one before it, and so on.
    Time: O(n * longest) look-ups for n characters.
    Example: with ``{"a": -1.0, "b": -2.0, "ab": -2.5}``, ``"abc"`` is ``[(0, 2), (2, 3)]``.
    """
    best = [0.0] + [-math.inf] * len(word)
    came_from = [0] * (len(word) + 1)
    for start in range(len(word)):
        for end in range(start + 1, min(start + longest, len(word)) + 1):
            score = scores.get(word[start:end])
            if score is None:
                if end > start + 1:
                    continue
                score = unknown_score
            if best[start] + score > best[end]:
                best[end] = best[start] + score
                came_from[end] = start
    spans: Spans = []
    end = len(word)
    while end:
        spans.append((came_from[end], end))
        end = came_from[end]
    return spans[::-1]


def best_segmentations(
    word: str, scores: Mapping[str, float], unknown_score: float, longest: int, n: int
) -> list[tuple[float, Spans]]:
    """The n segmentations of the highest scores, with them, the highest first.

    Fewer where the word has fewer. Arguments and spans: as of :func:`best_segmentation`.
    Raises: ValueError if n is less than one.
    Example: with ``{"a": -1.0, "b": -2.0, "ab": -2.5}`` and n = 2, ``"ab"`` gives
    ``[(-2.5, [(0, 2)]), (-3.0, [(0, 1), (1, 2)])]``.
    """
    if n < 1:
        raise ValueError(f"n is {n}, expected 1 or more segmentations")
    # At each place the n best ways to get there: score, and the boundaries passed on the way.
    ways: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, (0,))]]
    for end in range(1, len(word) + 1):
        found = []
        for start in range(max(0, end - longest), end):
            score = scores.get(word[start:end], unknown_score if end == start + 1 else None)
            if score is not None:
                found += [(before + score, (*path, end)) for before, path in ways[start]]
        ways.append(sorted(found, key=lambda way: -way[0])[:n])
    return [(score, list(pairwise(path))) for score, path in ways[-1]]


def sample_segmentation(
    word: str,
    scores: Mapping[str, float],
    unknown_score: float,
    longest: int,
    temperature: float,
    random: Random,
) -> Spans:
    """A segmentation drawn with a probability proportional to ``exp(score / temperature)``.

    Forward, the weights of all ways to each place are added up; backward, from the word's end, each
    token is drawn by the weight of the ways that end in it.

    Arguments: as of :func:`best_segmentation`; a low temperature draws the best one nearly always,
    a high one each alike. ``random.random()`` is called once for each part drawn.
    Raises: ValueError if the temperature is not above zero.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}, expected more than 0")
    # Logarithms: the probability of a long text is less than the smallest float.
    total = [0.0] + [-math.inf] * len(word)
    edges: list[list[tuple[int, float]]] = [[]]
    for end in range(1, len(word) + 1):
        found = []
        for start in range(max(0, end - longest), end):
            score = scores.get(word[start:end], unknown_score if end == start + 1 else None)
            if score is not None:
                found.append((start, total[start] + score / temperature))
        highest = max(weight for _, weight in found)
        total[end] = highest + math.log(sum(math.exp(w - highest) for _, w in found))
        edges.append(found)
    spans: Spans = []
    end = len(word)
    while end:
        drawn = random.random()
        start = edges[end][-1][0]  # where rounding leaves a rest
        for place, weight in edges[end]:
            drawn -= math.exp(weight - total[end])
            if drawn < 0:
                start = place
                break
        spans.append((start, end))
        end = start
    return spans[::-1]
