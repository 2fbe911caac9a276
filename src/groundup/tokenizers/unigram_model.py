"""Unigram as a model of a tokenizer."""

from random import Random

from groundup.tokenizers import unigram

from .fused_unigram import fused_unigram
from .library_code import is_library_code
from .token_model import TokenModel, word_by_word
from .unigram import best_segmentation, sample_segmentation

__all__ = ["unigram_model"]

UNKNOWN_PENALTY = 10.0  # an unknown character scores this much below the rarest token


def unigram_model(
    pieces: list[tuple[str, float]],
    unknown_id: int,
    *,
    leading_mark: bool = True,
    control_ids: frozenset[int] = frozenset(),
) -> TokenModel:
    """Arguments:
    pieces: token and log-probability; the place is the id.
    unknown_id: stands for characters without a token, a run of them for one unknown token.
    control_ids: no text spells these tokens.
    leading_mark: a text begins with a ▁ that no space stood for, and decoding leaves it out.
    """
    vocabulary = {token: i for i, (token, _) in enumerate(pieces)}
    scores = {token: score for i, (token, score) in enumerate(pieces) if i not in control_ids}
    unknown_score = min(score for _, score in pieces) - UNKNOWN_PENALTY
    longest = max(map(len, scores), default=1)

    def tokens_of(word: str, spans: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
        tokens: list[tuple[int, int, int]] = []
        for start, end in spans:
            token_id = vocabulary.get(word[start:end], unknown_id)
            if token_id == unknown_id and tokens and tokens[-1][0] == unknown_id:
                start = tokens.pop()[1]
            tokens.append((token_id, start, end))
        return tokens

    def encode(word: str) -> list[tuple[int, int, int]]:
        return tokens_of(word, best_segmentation(word, scores, unknown_score, longest))

    def sample(word: str, temperature: float, random: Random) -> list[tuple[int, int, int]]:
        spans = sample_segmentation(word, scores, unknown_score, longest, temperature, random)
        return tokens_of(word, spans)

    def bytes_of(token: str, first: bool) -> bytes:
        return token.replace("▁", "" if first and leading_mark else " ").encode()

    # A learner's own segmentation that is swapped in is the one that encodes.
    fused = fused_unigram(scores, vocabulary, unknown_id, unknown_score)
    encode_words = fused if is_library_code(unigram) else word_by_word(encode)
    return TokenModel(vocabulary, encode_words, bytes_of, sample=sample)
