"""Unigram as a model of a tokenizer."""

from collections.abc import Callable

from .token_model import TokenModel, word_by_word
from .unigram import Spans, best_segmentation

__all__ = ["Segment", "unigram_model"]

# Word, scores, score of an unknown character, longest token: as ``best_segmentation``.
Segment = Callable[[str, dict[str, float], float, int], Spans]

UNKNOWN_PENALTY = 10.0  # an unknown character scores this much below the rarest token


def unigram_model(
    pieces: list[tuple[str, float]],
    unknown_id: int,
    segment: Segment = best_segmentation,
    *,
    leading_mark: bool = True,
    control_ids: frozenset[int] = frozenset(),
) -> TokenModel:
    """Arguments:
    pieces: token and log-probability; the place is the id.
    unknown_id: stands for characters without a token, a run of them for one unknown token.
    segment: how words are cut; the likeliest way unless another is given.
    control_ids: no text spells these tokens.
    leading_mark: a text begins with a ▁ that no space stood for, and decoding leaves it out.
    """
    vocabulary = {token: i for i, (token, _) in enumerate(pieces)}
    scores = {token: score for i, (token, score) in enumerate(pieces) if i not in control_ids}
    unknown_score = min(score for _, score in pieces) - UNKNOWN_PENALTY
    longest = max(map(len, scores), default=1)

    def encode(word: str) -> list[tuple[int, int, int]]:
        tokens: list[tuple[int, int, int]] = []
        for start, end in segment(word, scores, unknown_score, longest):
            token_id = vocabulary.get(word[start:end], unknown_id)
            if token_id == unknown_id and tokens and tokens[-1][0] == unknown_id:
                start = tokens.pop()[1]
            tokens.append((token_id, start, end))
        return tokens

    def bytes_of(token: str, first: bool) -> bytes:
        return token.replace("▁", "" if first and leading_mark else " ").encode()

    return TokenModel(vocabulary, word_by_word(encode), bytes_of)
