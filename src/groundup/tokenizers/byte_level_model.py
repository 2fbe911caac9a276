"""Byte-level byte-pair encoding as a model of a tokenizer."""

from collections.abc import Sequence

from groundup.tokenizers import byte_pair_encoding

from .byte_pair_encoding import byte_alphabet, byte_pair_encode, merge_ranks
from .fused_byte_pair import fused_byte_pair
from .library_code import is_library_code
from .token_model import TokenModel, word_by_word

__all__ = ["byte_level_model"]


def byte_level_model(
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    unknown_id: int | None = None,
    whole_words: bool = False,
    control_ids: frozenset[int] = frozenset(),
) -> TokenModel:
    """Arguments:
    vocabulary: token, in the characters of ``byte_alphabet``, to id; added tokens may be in it.
    merges: of the vocabulary's tokens, the first learned first.
    unknown_id: stands for a byte without a token; None drops such bytes, as their model did
        (SmolLM2 has none for 21 bytes: six control characters, and bytes of no valid text or of
        planes 4 to 11).
    whole_words: a word that is a token as a whole is that token, whatever the merges say;
        those of ``control_ids`` are not: text must not spell one.
    """
    alphabet = byte_alphabet()
    bytes_by_character = {character: byte for byte, character in alphabet.items()}
    byte_ids = [vocabulary.get(character, unknown_id) for character in alphabet.values()]
    ranks = merge_ranks(vocabulary, list(merges))

    def spelled(token: str, first: bool = False) -> bytes:
        """The bytes that a token's characters stand for; its own UTF-8 if one stands for none.

        As in Hugging Face's decoder, that holds for added tokens too: one named ``ö`` is 0xF6.
        """
        try:
            return bytes(map(bytes_by_character.__getitem__, token))
        except KeyError:
            return token.encode()

    def encode(word: str) -> list[tuple[int, int, int]]:
        symbols, characters = [], []
        for place, character in enumerate(word):
            for byte in character.encode():
                if (symbol := byte_ids[byte]) is not None:
                    symbols.append(symbol)
                    characters.append(place)
        found, done = [], 0
        for token_id in byte_pair_encode(symbols, ranks):
            start, done = done, done + lengths[token_id]
            found.append((token_id, characters[start], characters[done - 1] + 1))
        return found

    wholes: dict[str, int] = {}
    for token, token_id in vocabulary.items() if whole_words else ():
        try:
            word = spelled(token).decode()
        except UnicodeDecodeError:
            continue  # no word of a text is part of a character
        if word and token_id not in control_ids:
            wholes[word] = token_id
    # A learner's own encoding that is swapped in is the one that encodes.
    if is_library_code(byte_pair_encoding):
        return TokenModel(vocabulary, fused_byte_pair(byte_ids, ranks), spelled, wholes)
    lengths = {token_id: len(spelled(token)) for token, token_id in vocabulary.items()}
    if unknown_id is not None:
        lengths[unknown_id] = 1
    return TokenModel(vocabulary, word_by_word(encode), spelled, wholes)
