"""The chat model's tokenizer, against Hugging Face's classes built from the same file."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import regex

from groundup.errors import GroundupError
from groundup.tokenizers import word_cache
from groundup.tokenizers.byte_level_model import byte_level_model
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.pre_tokenization import named_splitter
from groundup.tokenizers.tokenizer import Tokenizer


def test_ids_and_texts_equal_hugging_face_on_ten_thousand_texts(
    ours: Tokenizer,
    hugging_face: Any,
    special_tokens: list[str],
    generated_texts: Callable[..., list[str]],
) -> None:
    texts = generated_texts(10_000, special_tokens)
    expected = hugging_face(texts).input_ids
    got = [ours.encode(text) for text in texts]
    assert got == expected
    for skip in (False, True):
        decoded = [ours.decode(ids, skip_special=skip) for ids in got]
        assert decoded == hugging_face.batch_decode(expected, skip_special_tokens=skip)


def test_special_tokens_as_plain_text_equal_hugging_face(
    ours: Tokenizer,
    hugging_face: Any,
    special_tokens: list[str],
    generated_texts: Callable[..., list[str]],
) -> None:
    texts = generated_texts(1000, special_tokens, seed=1)
    expected = hugging_face(texts, split_special_tokens=True).input_ids
    got = [ours.encode(text, special=False) for text in texts]
    assert got == expected
    assert not ours.special_ids & {i for ids in got for i in ids}


def test_random_ids_decode_equally(ours: Tokenizer, hugging_face: Any) -> None:
    """Most of these are not UTF-8, in every way that bytes can fail to be."""
    rng = random.Random(2)
    alone = [i for i in range(ours.size) if len(ours.bytes_of(i)) == 1]
    for _ in range(3000):
        pool = rng.choice([range(ours.size), alone, range(20)])
        ids = rng.choices(pool, k=rng.randrange(12))
        for skip in (False, True):
            expected = hugging_face.decode(ids, skip_special_tokens=skip)
            assert ours.decode(ids, skip_special=skip) == expected


def test_what_transformers_makes_of_the_file_differs_only_before_some_digits(
    ours: Tokenizer,
    hugging_face: Any,
    hugging_face_from_gguf: Any,
    special_tokens: list[str],
    generated_texts: Callable[..., list[str]],
) -> None:
    """It leaves out the digit split. No merge joins two characters of class N, so that shows only
    where GPT-2's pattern leaves a space to the digits: after more white space (a run is one word
    here, and loses its last space there), or before a digit whose first byte merges with a space.
    """
    theirs = hugging_face_from_gguf
    may_differ = regex.compile(r"\s\s\p{N}| (?![0-9])\p{N}")
    texts = generated_texts(5000, special_tokens, seed=3)
    equal = [text for text in texts if not may_differ.search(text)]
    assert len(equal) > 1000
    assert any(regex.search(r"\p{N}\p{N}| [0-9]", text) for text in equal)
    assert theirs(equal).input_ids == [ours.encode(text) for text in equal]
    for text in ("a  1", "a\n\n1", " ²", " ١"):
        assert theirs(text).input_ids != ours.encode(text) == hugging_face(text).input_ids


def test_attributes(ours: Tokenizer) -> None:
    tokenizer = ours
    assert (tokenizer.size, tokenizer.bos_id) == (49_152, 1)
    assert tokenizer.eos_ids == {0, 2}  # <|endoftext|> and <|im_end|>
    assert tokenizer.special_ids == set(range(17))
    assert tokenizer.id_of("<|im_end|>") == 2
    assert tokenizer.token_of(tokenizer.id_of("Ġthe")) == "Ġthe"
    assert tokenizer.bytes_of(tokenizer.id_of("Ġthe")) == b" the"
    assert tokenizer.bytes_of(2) == b"<|im_end|>"
    assert tokenizer.bytes_of(tokenizer.size) == b""
    gap = Tokenizer(byte_level_model({"a": 0, "b": 7}, []), named_splitter("gpt-2"))
    assert gap.size == 8
    with pytest.raises(GroundupError, match="the id 49152 has no token, expected one of 0 to"):
        tokenizer.token_of(tokenizer.size)
    with pytest.raises(GroundupError, match="the vocabulary has no token ' the'"):
        tokenizer.id_of(" the")


def test_lone_surrogates_count_as_replacement_characters(ours: Tokenizer) -> None:
    assert ours.encode("a\ud800b\udfff") == ours.encode("a\ufffdb\ufffd")
    chat = [{"role": "user", "content": "\udc80"}]
    assert ours.encode_chat(chat) == ours.encode_chat([{"role": "user", "content": "\ufffd"}])


def test_bytes_without_a_token_are_dropped(ours: Tokenizer, hugging_face: Any) -> None:
    assert ours.encode("a\x04b\U00040000") == hugging_face("a\x04b\U00040000").input_ids
    assert ours.decode(ours.encode("a\x04b")) == "ab"


def test_the_word_cache_is_bounded_and_changes_nothing(
    hugging_face: Any, metadata: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_cache, "MOST_WORDS", 3000)
    monkeypatch.setattr(word_cache, "BLOCK", 500)
    tokenizer = tokenizer_from_gguf(metadata)
    long = "y" * 1000
    words = [f"w{i:x}"[:40].translate(LETTERS) for i in range(7_000)]
    text = " ".join([long, *words])
    assert tokenizer.encode(text) == hugging_face(text).input_ids
    assert 0 < len(tokenizer._words) <= 3500
    monkeypatch.setattr(word_cache, "MOST_CHARACTERS", 1000)
    assert tokenizer.encode("w" + long) == hugging_face("w" + long).input_ids
    assert tokenizer.encode(words[7]) == hugging_face(words[7]).input_ids
    assert len(tokenizer._words) < 10


LETTERS = str.maketrans("0123456789", "ghijklmnop")


@pytest.mark.parametrize("key", ["model", "tokens", "token_type", "merges"])
def test_a_missing_key_is_named(key: str, metadata: dict[str, Any]) -> None:
    broken = {k: v for k, v in metadata.items() if k != f"tokenizer.ggml.{key}"}
    with pytest.raises(GroundupError, match=rf"has no tokenizer\.ggml\.{key}, expected"):
        tokenizer_from_gguf(broken)


def test_another_kind_of_tokenizer_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(GroundupError, match="tokenizer is 'llama', expected 'gpt2'"):
        tokenizer_from_gguf({**metadata, "tokenizer.ggml.model": "llama"})


def test_a_beginning_is_added_as_the_file_says(ours: Tokenizer, metadata: dict[str, Any]) -> None:
    def ids(**changed: object) -> list[int]:
        keys = {f"tokenizer.ggml.{key}": value for key, value in changed.items()}
        return tokenizer_from_gguf({**metadata, **keys}).encode("a")

    plain = ours.encode("a")
    assert ids(add_bos_token=True) == [1, *plain]
    assert ids(pre="llama-bpe") == plain  # the file's own add_bos_token is false
    silent = {k: v for k, v in metadata.items() if k != "tokenizer.ggml.add_bos_token"}
    assert tokenizer_from_gguf(silent).encode("a") == plain
    assert tokenizer_from_gguf({**silent, "tokenizer.ggml.pre": "llama-bpe"}).encode("a")[0] == 1
