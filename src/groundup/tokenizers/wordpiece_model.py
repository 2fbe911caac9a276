"""WordPiece as a model of a tokenizer."""

from functools import partial

from .token_model import TokenModel, word_by_word
from .wordpiece import longest_match

__all__ = ["wordpiece_model"]

# What BERT's decoder closes up again, in this order.
CLOSED_UP = [(f" {mark}", mark) for mark in ".?!,"]
CLOSED_UP += [(" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s")]
CLOSED_UP += [(" 've", "'ve"), (" 're", "'re")]


def wordpiece_model(
    vocabulary: dict[str, int],
    unknown_id: int,
    *,
    prefix: str,
    longest_word: int,
    close_up: bool,
) -> TokenModel:
    """Arguments: as of ``longest_match``.

    close_up: decoding leaves out the space before a full stop and the like.
    """

    def bytes_of(token: str, first: bool) -> bytes:
        if not first:
            token = token[len(prefix) :] if token.startswith(prefix) else f" {token}"
        for spaced, closed in CLOSED_UP if close_up else ():
            token = token.replace(spaced, closed)
        return token.encode()

    encode = partial(
        longest_match,
        vocabulary=vocabulary,
        unknown_id=unknown_id,
        prefix=prefix,
        longest_word=longest_word,
    )
    return TokenModel(vocabulary, word_by_word(encode), bytes_of)
