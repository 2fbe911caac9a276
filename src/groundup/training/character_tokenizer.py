"""A tokenizer whose tokens are the characters of a text."""

from collections.abc import Iterable
from typing import Any

from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.tokenizer_json import byte_pair_json
from groundup.tokenizers.tokenizer_training import SPECIAL_TOKENS

__all__ = ["character_tokenizer"]


def character_tokenizer(texts: Iterable[str]) -> dict[str, Any]:
    """The object of a tokenizer.json for the characters of some texts, and the end of a text.

    It is byte-level BPE like other models', so all that reads theirs reads it: its bytes are those
    that occur, and its merges join the bytes of a character and no more. Characters that did not
    occur lose the bytes that did not.
    """
    alphabet = byte_alphabet()
    characters = sorted(set().union(*map(set, texts)))
    spelled = ["".join(alphabet[byte] for byte in each.encode()) for each in characters]
    special = SPECIAL_TOKENS["bpe"]
    tokens = [*special, *sorted(set("".join(spelled)))]
    merges = {(each[:i], each[i]): None for each in spelled for i in range(1, len(each))}
    tokens += [left + right for left, right in merges]
    return byte_pair_json({t: i for i, t in enumerate(tokens)}, list(merges), special, "gpt2")
