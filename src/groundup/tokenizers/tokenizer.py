"""The tokenizer of a model: text to token ids and back, special tokens and conversations included.

Encoding takes these steps, each in its own module: find the added tokens, normalise the text
between them, cut it into words, and find the tokens of each word.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from groundup.errors import GroundupError

from .added_tokens import AddedToken, AddedTokens
from .chat_template import ChatTemplate
from .normalization import Normalizer, as_it_is
from .pieces import Pieces
from .pre_tokenization import Splitter
from .shielding import shield
from .streaming import StreamDecoder
from .token_model import TokenModel
from .word_cache import WordCache

__all__ = ["Encoding", "Tokenizer"]

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


class Encoding(NamedTuple):
    """The tokens of a text, and where in it they lie."""

    ids: NDArray[np.int32]  # (n,)
    spans: NDArray[np.int64]  # (n, 2) first character and end; equal for tokens put around it


class Tokenizer:
    """A model's tokens with added tokens. ``tokenizer_from_gguf`` and ``..._folder`` build one.

    ``size``: one more than the largest id. ``bos_id``: the id that begins a text, or None.
    ``eos_ids``: every id that ends a turn. ``special_ids``: the ids that stand for no text.
    ``chat_template``: the model's template, or None.
    """

    def __init__(
        self,
        model: TokenModel,
        splitter: Splitter,
        *,
        normalizer: Normalizer = as_it_is,
        added: Sequence[AddedToken] = (),
        bos_id: int | None = None,
        eos_ids: Collection[int] = (),
        prefix_ids: Sequence[int] = (),
        suffix_ids: Sequence[int] = (),
        chat_template: ChatTemplate | None = None,
    ) -> None:
        """Arguments:
        model: the vocabulary and how words become tokens; added tokens may be in it.
        splitter: cuts a text into words.
        normalizer: what is done to a text before it is cut.
        added: the tokens that are looked for in the text before it is cut.
        bos_id, eos_ids: as the attributes; added tokens with an end-of-turn name are included.
        prefix_ids, suffix_ids: what ``encode`` puts around every text, such as ``[bos_id]``.
        """
        self._normalizer = normalizer
        # A special token is looked for as written, always: what becomes one only by normalising
        # would have passed the shield of encode_chat.
        raw = [t for t in added if t.special or not t.normalized]
        normalized = [
            replace(t, text=normalizer(t.text)[0]) for t in added if t.normalized and not t.special
        ]
        added = [*raw, *normalized]

        self.bos_id = bos_id
        self.eos_ids = frozenset(eos_ids) | {t.id for t in added if t.text in END_OF_TURN}
        self.special_ids = frozenset(token.id for token in added if token.special)
        self.chat_template = chat_template
        self._ids = {**model.vocabulary, **{token.text: token.id for token in added}}
        # By id, apart from _ids: an added é may stand beside the é that is the byte 0xE9.
        self._tokens = {token_id: token for token, token_id in model.vocabulary.items()}
        self._tokens |= {token.id: token.text for token in added}
        self.size = max(self._tokens) + 1
        self._bytes_of = model.bytes_of
        self._bytes = {i: model.bytes_of(token, False) for i, token in self._tokens.items()}
        self._control_tokens = [token.text for token in added if token.special]

        self._added_raw = AddedTokens(raw)
        self._added_normalized = AddedTokens(normalized)
        self._prefix_ids = list(prefix_ids)
        self._suffix_ids = list(suffix_ids)
        self._splitter = splitter
        self._words = WordCache(model)
        self._sample = model.sample

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text, with what the model puts around it (such as its BOS id).

        Arguments:
            text: any text. A lone surrogate, which no UTF-8 can hold, counts as U+FFFD.
            special: False treats special tokens in the text as plain text. Added tokens that are
                not special (``<think>``, runs of spaces) stand for text and are found always.
        """
        ids: list[int] = self.encode_with_spans(text, special=special).ids.tolist()
        return ids

    def encode_with_spans(self, text: str, *, special: bool = True) -> Encoding:
        """As ``encode``, with the characters that each token stands for, and in arrays.

        A token that is part of a character has that whole character.
        """
        ids, spans = self._encode(text, special, {})
        before, behind = len(self._prefix_ids), len(self._suffix_ids)
        if before or behind:
            ids = np.concatenate((self._prefix_ids, ids, self._suffix_ids)).astype(np.int32)
            spans = np.pad(spans, ((before, behind), (0, 0)))
        return Encoding(ids, spans)

    def sample(
        self, text: str, temperature: float, random: Random, *, special: bool = True
    ) -> list[int]:
        """The ids of a text whose words are cut at random, for subword regularisation.

        Arguments:
            temperature: as of ``sample_segmentation``: low is nearly always the best way.
            special: as of ``encode``.

        Raises: GroundupError if the tokenizer is not a Unigram one.
        """
        if self._sample is None:
            raise GroundupError(
                "the tokenizer has one way to cut a text, expected a Unigram one, whose ways have "
                "probabilities; encode it instead"
            )
        ids = list(self._prefix_ids)
        for _, found in self._pieces(SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text), special, {}):
            if isinstance(found, Pieces):
                for word in self._splitter.cut(found).strings():
                    ids += [token_id for token_id, _, _ in self._sample(word, temperature, random)]
            else:
                ids.append(found[0])
        return ids + self._suffix_ids

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
        template, messages, variables, restore = self._shielded(messages, variables)
        text = template.render(messages, add_generation_prompt, **variables)
        ids: list[int] = self._encode(text, True, restore)[0].tolist()
        return ids

    def encode_answer(
        self, messages: Sequence[Mapping[str, Any]], **variables: Any
    ) -> tuple[list[int], list[int]]:
        """The ids of a conversation whose last message is an answer, in two parts.

        The first is what ``encode_chat`` gives for the messages before the answer; the second is
        what the template writes behind that: the answer, and the end of its turn.
        Raises: GroundupError as ``encode_chat``, and if the template writes the prompt of an answer
        otherwise than the beginning of the answered conversation.
        """
        template, messages, variables, restore = self._shielded(messages, variables)
        begun = template.render(messages[:-1], True, **variables)
        whole = template.render(messages, False, **variables)
        if not whole.startswith(begun):
            place = next((i for i, (a, b) in enumerate(zip(begun, whole, strict=False)) if a != b),
                         min(len(begun), len(whole)))  # fmt: skip
            raise GroundupError(
                "the model's chat template does not write an answer behind its prompt: where the "
                f"prompt has {begun[place : place + 40]!r}, the answered conversation has "
                f"{whole[place : place + 40]!r}; where the answer begins is then unknown: give "
                "another template"
            )
        prompt, answer = (
            self._encode(text, True, restore)[0].tolist() for text in (begun, whole[len(begun) :])
        )
        return prompt, answer

    def _shielded(
        self, messages: Sequence[Mapping[str, Any]], variables: dict[str, Any]
    ) -> tuple[ChatTemplate, Sequence[Mapping[str, Any]], dict[str, Any], dict[int, str]]:
        """The template, what it may be given, and what restores the text of what it renders."""
        if self.chat_template is None:
            raise GroundupError(
                "the model has no chat template, expected one in its files; use a chat model, or "
                "give it plain text"
            )
        (messages, variables), restore = shield(
            (messages, variables), self._control_tokens, self.chat_template.source
        )
        return self.chat_template, messages, variables, restore

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of ids. Bytes that are not UTF-8 become U+FFFD; ids without a token, nothing."""
        shown = [i for i in ids if i in self._tokens]
        if skip_special:
            shown = [i for i in shown if i not in self.special_ids]
        text = b"".join(map(self.bytes_of, shown[1:]))
        if shown:
            text = self._bytes_of(self._tokens[shown[0]], True) + text
        return text.decode(errors="replace")

    def stream(self) -> StreamDecoder:
        """A decoder for ids that arrive one by one."""
        begun = False

        def bytes_of(token_id: int) -> bytes:
            nonlocal begun
            first, begun = not begun, True
            if first and token_id in self._tokens:
                return self._bytes_of(self._tokens[token_id], True)
            return self.bytes_of(token_id)

        return StreamDecoder(bytes_of)

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

    def _encode(
        self, text: str, special: bool, restore: dict[int, str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        text = SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
        ids: list[Any] = []
        spans: list[Any] = []
        for first, found in self._pieces(text, special, restore):
            if isinstance(found, Pieces):
                piece_ids, piece_spans = self._words.tokens(self._splitter.cut(found))
                ids.append(piece_ids)
                spans.append(piece_spans + first)
            else:
                ids.append([found[0]])
                spans.append([found[1:]])
        if not ids:
            return np.empty(0, np.int32), np.empty((0, 2), np.int64)
        return np.concatenate(ids).astype(np.int32, copy=False), np.concatenate(spans)

    def _pieces(
        self, text: str, special: bool, restore: dict[int, str]
    ) -> Iterator[tuple[int, Pieces | tuple[int, int, int]]]:
        """The id, start and end of each added token, or a text; behind where its spans begin."""
        for start, end, token_id in self._added_raw.split(text, special=special):
            if token_id is not None:
                yield 0, (token_id, start, end)
                continue
            piece = text[start:end]
            if restore:  # an empty table costs as much as all else
                piece = piece.translate(restore)
            piece, origins = self._normalizer(piece)
            for first, last, found in self._added_normalized.split(piece, special=special):
                place = (first, last) if origins is None else origins[[first, last - 1], [0, 1]]
                if found is not None:
                    yield 0, (found, start + int(place[0]), start + int(place[1]))
                elif origins is None:
                    yield start + first, Pieces.of(piece[first:last])
                else:
                    yield start, Pieces.of(piece[first:last], origins[first:last])
