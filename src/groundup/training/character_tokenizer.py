"""A tokenizer whose tokens are the characters of a text."""

from collections.abc import Iterable
from pathlib import Path

from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.training.tokenizer_files import PLAIN_TEMPLATE, write_tokenizer_files

__all__ = ["write_character_tokenizer"]


def write_character_tokenizer(texts: Iterable[str], folder: Path) -> int:
    """Write ``tokenizer.json`` for the characters of some texts, and the end of a text.

    It is byte-level BPE like other models', so all that reads theirs reads it: its bytes are those
    that occur, and its merges join the bytes of a character and no more. Characters that did not
    occur lose the bytes that did not.

    Returns the size of the vocabulary.
    """
    characters = sorted(set().union(*map(set, texts)))
    alphabet = byte_alphabet()
    encoded = [character.encode() for character in characters]
    tokens = sorted({alphabet[byte] for each in encoded for byte in each})
    merges: dict[tuple[str, str], None] = {}
    for spelled in ("".join(alphabet[byte] for byte in each) for each in encoded):
        merges |= {(spelled[:i], spelled[i]): None for i in range(1, len(spelled))}
    tokens += [left + right for left, right in merges]
    return write_tokenizer_files(tokens, list(merges), folder, PLAIN_TEMPLATE)
