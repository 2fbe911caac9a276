"""Short answers beside those that were expected: exact match and F1, as SQuAD counts them."""

import string
from collections import Counter
from collections.abc import Sequence

import regex

__all__ = ["exact_match", "normalize_answer", "token_f1"]

ARTICLES = regex.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and the spaces that are too many.

    Source: Rajpurkar et al. 2016, "SQuAD", section 6.1, and its evaluation script.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, expected: Sequence[str]) -> bool:
    """Whether the answer, normalised, is one of those expected.

    One of which normalising leaves nothing ("the", "!", nothing) is compared as it stands, so that
    an empty answer is not taken for an article.
    """
    if not (normal := normalize_answer(answer)):
        return answer.strip().lower() in {text.strip().lower() for text in expected}
    return any(normal == normalize_answer(text) for text in expected)


def token_f1(answer: str, expected: Sequence[str]) -> float:
    """The harmonic mean of the words' precision and recall, for the nearest expected answer.

    Source: as `normalize_answer`.
    """
    return max((_f1(answer, text) for text in expected), default=0.0)


def _f1(answer: str, expected: str) -> float:
    found, wanted = (normalize_answer(text).split() for text in (answer, expected))
    if not found or not wanted:
        return float(exact_match(answer, [expected]))
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))
