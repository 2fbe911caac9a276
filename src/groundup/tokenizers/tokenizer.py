"""The tokenizer of a model: text to token ids and back, special tokens and conversations included.

Encoding takes these steps, each in its own module: find the added tokens, normalise the text
between them, cut it into words, and merge the bytes of each word.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import regex

from groundup.errors import GroundupError

from .added_tokens import AddedToken, AddedTokens
from .byte_pair_encoding import byte_alphabet, byte_pair_encode, merge_ranks
from .chat_template import ChatTemplate
from .pre_tokenization import Splitter
from .shielding import shield
from .streaming import StreamDecoder

__all__ = ["Tokenizer"]

# Tokens that end a turn by their name: model files often declare only one of them.
END_OF_TURN = {
    "<|endoftext|>",
    "<|im_end|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
}
SURROGATE = regex.compile(r"[\ud800-\udfff]")


class Tokenizer:
    """Byte-level BPE with added tokens. Build one with ``tokenizer_from_gguf`` or ``..._folder``.

    ``size``: one more than the largest id. ``bos_id``: the id that begins a text, or None.
    ``eos_ids``: every id that ends a turn. ``special_ids``: the ids that stand for no text.
    ``chat_template``: the model's template, or None.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        merges: list[tuple[str, str]],
        splitter: Splitter,
        *,
        added: Sequence[AddedToken] = (),
        bos_id: int | None = None,
        eos_ids: Collection[int] = (),
        prefix_ids: Sequence[int] = (),
        unknown_id: int | None = None,
        nfc: bool = False,
        ignore_merges: bool = False,
        chat_template: ChatTemplate | None = None,
    ) -> None:
        """Arguments:
        vocabulary: token, in the characters of ``byte_alphabet``, to id; added tokens may be in it.
        merges: of the vocabulary's tokens, the first learned first.
        splitter: cuts a text into words.
        added: the tokens that are looked for in the text before it is cut.
        bos_id, eos_ids: as the attributes; added tokens with an end-of-turn name are included.
        prefix_ids: what ``encode`` puts before every text, such as ``[bos_id]``.
        unknown_id: stands for a byte without a token; None drops such bytes, as their model did
            (SmolLM2 has none for 21 bytes: six control characters, and bytes of no valid text or of
            planes 4 to 11).
        nfc: the text is brought to Unicode's normal form C first.
        ignore_merges: a word that is a token as a whole is that token, whatever the merges say.
        """
        self._nfc = nfc
        # A special token is looked for as written, always: what becomes one only by normalising
        # would have passed the shield of encode_chat.
        raw = [t for t in added if t.special or not t.normalized]
        normalized = [
            replace(t, text=self._normal(t.text)) for t in added if t.normalized and not t.special
        ]
        added = [*raw, *normalized]

        self.bos_id = bos_id
        self.eos_ids = frozenset(eos_ids) | {t.id for t in added if t.text in END_OF_TURN}
        self.special_ids = frozenset(token.id for token in added if token.special)
        self.chat_template = chat_template
        self._ids = vocabulary | {token.text: token.id for token in added}
        # By id, apart from _ids: an added é may stand beside the é that is the byte 0xE9.
        self._tokens = {token_id: token for token, token_id in vocabulary.items()}
        self._tokens |= {token.id: token.text for token in added}
        self.size = max(self._tokens) + 1

        alphabet = byte_alphabet()
        bytes_by_character = {character: byte for byte, character in alphabet.items()}
        self._bytes = {i: spelled(token, bytes_by_character) for i, token in self._tokens.items()}
        self._control_tokens = [token.text for token in added if token.special]

        self._added_raw = AddedTokens(raw)
        self._added_normalized = AddedTokens(normalized)
        self._prefix_ids = list(prefix_ids)
        self._split = splitter
        byte_ids = [vocabulary.get(character, unknown_id) for character in alphabet.values()]
        ranks = merge_ranks(vocabulary, merges)
        # Without the special tokens: GGUF lists them among the others, and text must not spell one.
        words = set(vocabulary.values()) - self.special_ids if ignore_merges else ()
        wholes = {self._bytes[i]: i for i in words}

        def encode_word(word: str) -> list[int]:
            encoded = word.encode()
            if encoded in wholes:
                return [wholes[encoded]]
            ids = (byte_ids[byte] for byte in encoded)
            return byte_pair_encode([i for i in ids if i is not None], ranks)

        self._words = WordCache(encode_word)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text, with the model's own beginning (such as its BOS id) before them.

        Arguments:
            text: any text. A lone surrogate, which no UTF-8 can hold, counts as U+FFFD.
            special: False treats special tokens in the text as plain text. Added tokens that are
                not special (``<think>``, runs of spaces) stand for text and are found always.
        """
        return [*self._prefix_ids, *self._encode(text, special, {})]

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> list[int]:
        """The ids of a conversation, as the model's chat template writes it.

        The control tokens are the template's alone: special tokens inside the messages and
        variables are data and become plain text. Arguments: as of ``ChatTemplate.render``.
        Raises: GroundupError if the model has no template or the template fails.
        """
        if self.chat_template is None:
            raise GroundupError(
                "the model has no chat template, expected one in its files; use a chat model, or "
                "give it plain text"
            )
        (messages, variables), restore = shield(
            (messages, variables), self._control_tokens, self.chat_template.source
        )
        text = self.chat_template.render(messages, add_generation_prompt, **variables)
        return self._encode(text, True, restore)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of ids. Bytes that are not UTF-8 become U+FFFD; ids without a token, nothing."""
        return b"".join(
            self.bytes_of(i) for i in ids if not (skip_special and i in self.special_ids)
        ).decode(errors="replace")

    def stream(self) -> StreamDecoder:
        """A decoder for ids that arrive one by one."""
        return StreamDecoder(self.bytes_of)

    def bytes_of(self, token_id: int) -> bytes:
        """What an id adds to a text: UTF-8 bytes, or parts of them; nothing without a token."""
        return self._bytes.get(token_id, b"")

    def token_of(self, token_id: int) -> str:
        """The token as the vocabulary spells it (``Ġthe``). Raises: GroundupError if none."""
        if token_id not in self._tokens:
            raise GroundupError(
                f"the id {token_id} has no token, expected one of 0 to {self.size - 1}; "
                "take ids from the same model"
            )
        return self._tokens[token_id]

    def id_of(self, token: str) -> int:
        """The id of a token as the vocabulary spells it. Raises: GroundupError if none."""
        if token not in self._ids:
            raise GroundupError(
                f"the vocabulary has no token {token!r}, expected one of its {len(self._ids)}; "
                "write it as the vocabulary does (a space is Ġ)"
            )
        return self._ids[token]

    def _encode(self, text: str, special: bool, restore: dict[int, str]) -> list[int]:
        ids: list[int] = []
        for piece in self._pieces(SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text), special):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                words = self._split(piece.translate(restore) if restore else piece)
                ids.extend(chain.from_iterable(map(self._words.__getitem__, words)))
        return ids

    def _pieces(self, text: str, special: bool) -> Iterator[int | str]:
        for piece in self._added_raw.split(text, special=special):
            if isinstance(piece, int):
                yield piece
            else:
                yield from self._added_normalized.split(self._normal(piece), special=special)

    def _normal(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self._nfc else text


class WordCache(dict[str, list[int]]):
    """Words to their ids. A text repeats its words, and a hit costs no Python call.

    At most 65,536 words of at most 64 characters are kept; when full, it starts anew.
    """

    def __init__(self, encode_word: Callable[[str], list[int]]) -> None:
        self._encode_word = encode_word

    def __missing__(self, word: str) -> list[int]:
        ids = self._encode_word(word)
        if len(word) <= 64:
            if len(self) >= 65_536:
                self.clear()
            self[word] = ids
        return ids


def spelled(token: str, bytes_by_character: dict[str, int]) -> bytes:
    """The bytes that a token's characters stand for; its own UTF-8 if one stands for none.

    As in Hugging Face's decoder, that holds for added tokens too: one named ``ö`` is byte 0xF6.
    """
    try:
        return bytes(map(bytes_by_character.__getitem__, token))
    except KeyError:
        return token.encode()
