"""The compiled encoding of words, against the readable one that a learner's part may replace."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from groundup.tokenizers import byte_pair_encoding
from groundup.tokenizers.byte_level_model import byte_level_model
from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.pre_tokenization import Splitter
from groundup.tokenizers.tokenizer import Tokenizer


def swapped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_pair_encoding, "__file__", "/a/learners/byte_pair_encoding.py")


def test_ids_and_spans_are_those_of_the_readable_encoding(
    metadata: dict[str, Any],
    generated_texts: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fused = tokenizer_from_gguf(metadata)
    swapped_in(monkeypatch)
    readable = tokenizer_from_gguf(metadata)
    for text in generated_texts(1000, ["<|im_end|>", "\x04", "\U00040000"], seed=11):
        ids, spans = fused.encode_with_spans(text)
        expected = readable.encode_with_spans(text)
        assert ids.tolist() == expected.ids.tolist(), repr(text)
        assert spans.tolist() == expected.spans.tolist(), repr(text)


def test_a_learners_encoding_is_the_one_that_encodes(
    metadata: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped_in(monkeypatch)
    monkeypatch.setattr(
        "groundup.tokenizers.byte_level_model.byte_pair_encode", lambda symbols, ranks: symbols
    )
    assert len(tokenizer_from_gguf(metadata).encode("the")) == 3


def test_any_merges_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges that no training would give: of tokens reached in several ways, in a random order."""
    rng = random.Random(3)
    alphabet = byte_alphabet()
    letters = [alphabet[ord(letter)] for letter in "abc"]
    for _ in range(50):
        tokens, merges = [*letters], []
        for _ in range(rng.randrange(1, 25)):
            pair = (rng.choice(tokens), rng.choice(tokens))
            if len("".join(pair)) < 7:
                merges.append(pair)
                tokens.append("".join(pair))
        rng.shuffle(merges)
        vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
        with monkeypatch.context() as patch:
            fused = Tokenizer(byte_level_model(vocabulary, merges), Splitter([]))
            swapped_in(patch)
            readable = Tokenizer(byte_level_model(vocabulary, merges), Splitter([]))
        for _ in range(40):
            text = "".join(rng.choices("abc", k=rng.randrange(12)))
            found, expected = fused.encode_with_spans(text), readable.encode_with_spans(text)
            assert found.ids.tolist() == expected.ids.tolist()
            assert found.spans.tolist() == expected.spans.tolist()
