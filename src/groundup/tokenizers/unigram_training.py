"""Training of a Unigram vocabulary: expectation maximisation, and pruning of what costs least.

Sources: Kudo 2018, "Subword Regularization: Improving Neural Network Translation Models with
Multiple Subword Candidates", section 3.2; Dempster, Laird and Rubin 1977 (EM); Liang and Klein
2007, "Structured Bayesian Nonparametric Models with Variational Inference", section 2 (the digamma
function in place of the logarithm, which makes rare tokens rarer).
"""

import math
from collections.abc import Mapping

__all__ = ["digamma", "expected_counts", "new_scores", "removal_losses", "train_unigram"]


def digamma(x: float) -> float:
    """The derivative of the logarithm of the gamma function, for x > 0, to 1e-9.

    Source: Abramowitz and Stegun 1964, 6.3.5 (the recurrence, up to 6) and 6.3.18 (the series).
    Example: ``digamma(1.0) == -0.5772156649...`` (minus Euler's constant).
    """
    value = 0.0
    while x < 6:
        value -= 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132)))))
    return value + math.log(x) - 1 / (2 * x) - series


def expected_counts(
    words: Mapping[str, int], scores: Mapping[str, float], longest: int
) -> tuple[float, dict[str, float]]:
    """How often each token is expected in a corpus, over all segmentations by their probability.

    Arguments:
        words: ``{word: count}``, none empty; every character of them is a token.
        scores: ``{token: log-probability}``.
        longest: no token has more characters.

    Returns: the corpus's log-likelihood (the sum over the words of count times the logarithm of the
    summed probabilities of all segmentations), and ``{token: expected count}`` of all tokens.
    Time: O(n * longest) for a word of n characters, by the sums of what leads to each place
    (forward) and from it to the end (backward), in logarithms.
    Example: for ``{"ab": 3}`` with probabilities a 0.5, b 0.25, ab 0.25, the word has probability
    0.25 + 0.5 * 0.25 = 0.375; ab is expected 3 * 0.25 / 0.375 = 2 times, a and b once each.
    """
    likelihood, expected = 0.0, dict.fromkeys(scores, 0.0)
    for word, count in words.items():
        edges = _tokens_in(word, scores, longest)
        forward = [0.0] + [-math.inf] * len(word)
        for start, end in edges:
            forward[end] = _add(forward[end], forward[start] + scores[word[start:end]])
        backward = [-math.inf] * len(word) + [0.0]
        for start, end in reversed(edges):
            score = scores[word[start:end]] + backward[end]
            backward[start] = _add(backward[start], score)
            share = math.exp(forward[start] + score - forward[-1])
            expected[word[start:end]] += count * share
        likelihood += count * forward[-1]
    return likelihood, expected


def new_scores(expected: Mapping[str, float], least: float = 0.5) -> dict[str, float]:
    """The scores that these counts give: ``digamma(count) - digamma(sum of counts)``.

    A token that is expected less than ``least`` times is left out; a single character stays, as if
    it had been expected ``least`` times. The sum is that of the counts that stay.
    """
    kept = {
        token: max(count, least)
        for token, count in expected.items()
        if count >= least or len(token) == 1
    }
    total = digamma(sum(kept.values()))
    return {token: digamma(count) - total for token, count in kept.items()}


def removal_losses(
    words: Mapping[str, int], scores: Mapping[str, float], longest: int
) -> dict[str, float]:
    """What the corpus's log-likelihood would lose without each token, about.

    Each word is cut in its likeliest way, which gives each token a count, c(t), and all tokens
    together N. Without t, its text is cut into the parts of the next best way, p1 ... pk. They take
    over its count, and there are k - 1 more tokens for each:

        c(t) * (log(c(t) / N) - sum over p of log((c(p) + c(t)) / (N + (k - 1) * c(t))))

    Arguments: as of :func:`expected_counts`.
    Returns: the losses of the tokens of two and more characters; 0 for one that no word was cut
    into, such as one whose text is likelier in parts than as a whole.
    """
    counts = dict.fromkeys(scores, 0)
    for word, count in words.items():
        for part in _best(word, scores, longest):
            counts[part] += count
    total = sum(counts.values())
    losses: dict[str, float] = {}
    for token in scores:
        if len(token) == 1:
            continue
        losses[token] = 0.0
        if c := counts[token]:
            parts = _best(token, scores, len(token) - 1)
            rest = math.log(total + (len(parts) - 1) * c)
            loss = math.log(c / total) - sum(math.log(counts[p] + c) - rest for p in parts)
            losses[token] = c * loss
    return losses


def train_unigram(
    words: Mapping[str, int], seeds: Mapping[str, float], size: int, longest: int
) -> dict[str, float]:
    """The scores of at most ``size`` tokens.

    Two rounds of expectation and maximisation, then pruning, until at most ``1.1 * size`` tokens
    are left: the single characters stay, and of the others those of the greatest losses above
    zero, so that three quarters of all tokens are left, but not fewer than ``1.1 * size``. Then the
    single characters and the others of the highest scores, up to ``size``, are the vocabulary.

    Arguments:
        words, longest: as of :func:`expected_counts`.
        seeds: the tokens to begin with, with their first scores; all characters are among them.
        size: not fewer than there are characters.
    """
    scores = dict(seeds)
    wanted = int(1.1 * size)
    while True:
        for _ in range(2):
            scores = new_scores(expected_counts(words, scores, longest)[1])
        if len(scores) <= wanted:
            break
        losses = removal_losses(words, scores, longest)
        single = [token for token in scores if len(token) == 1]
        room = max(wanted, len(scores) * 3 // 4) - len(single)
        ranked = sorted((t for t in losses if losses[t] > 0), key=lambda t: -losses[t])
        scores = {token: scores[token] for token in [*single, *ranked[:room]]}
        if room >= len(ranked):
            wanted = max(wanted, len(scores))  # what is left is worth its place
    ranked = sorted(scores, key=lambda token: (len(token) > 1, -scores[token]))
    return {token: scores[token] for token in ranked[:size]}


def _tokens_in(word: str, scores: Mapping[str, float], longest: int) -> list[tuple[int, int]]:
    """Where tokens start and end in a word, by start, then by end."""
    return [
        (start, end)
        for start in range(len(word))
        for end in range(start + 1, min(start + longest, len(word)) + 1)
        if word[start:end] in scores
    ]


def _best(word: str, scores: Mapping[str, float], longest: int) -> list[str]:
    """The parts of the likeliest segmentation, the last one first."""
    best = [0.0] + [-math.inf] * len(word)
    came_from = [0] * (len(word) + 1)
    for start, end in _tokens_in(word, scores, longest):
        if best[start] + scores[word[start:end]] > best[end]:
            best[end], came_from[end] = best[start] + scores[word[start:end]], start
    parts, end = [], len(word)
    while end:
        parts.append(word[came_from[end] : end])
        end = came_from[end]
    return parts


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))"""
    a, b = max(a, b), min(a, b)
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
