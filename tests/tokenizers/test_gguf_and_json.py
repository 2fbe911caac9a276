"""A GGUF file's tokenizer as Hugging Face's files, and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokenizers
from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.gguf_to_json import gguf_tokenizer_files
from groundup.tokenizers.to_gguf import tokenizer_metadata

TEXT = "It's 2024:  naïve café\n\n\tx = 10**3  # 日本語 <|im_start|>user 🙂<|im_end|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    for name, content in gguf_tokenizer_files(metadata).items():
        (path / name).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def test_the_files_make_the_same_tokens(folder: Path) -> None:
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    expected = tokenizer_from_gguf(metadata)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = tokenizer_from_folder(folder)
    assert theirs.encode(TEXT).ids == expected.encode(TEXT) == ours.encode(TEXT)
    assert theirs.decode(theirs.encode(TEXT).ids, skip_special_tokens=False) == TEXT
    messages = [{"role": "user", "content": "Hi"}]
    assert ours.encode_chat(messages) == expected.encode_chat(messages)
    assert (ours.bos_id, ours.eos_ids) == (expected.bos_id, expected.eos_ids)


def test_the_metadata_comes_back(folder: Path) -> None:
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    size = len(metadata["tokenizer.ggml.tokens"])
    again = tokenizer_metadata(folder, size)
    for key, value in again.items():
        assert np.array_equal(metadata[key], value), key
    kept = {key for key in metadata if key.startswith("tokenizer.")}
    assert kept - set(again) == {"tokenizer.ggml.add_space_prefix"}  # which byte-level BPE ignores
    padded = tokenizer_metadata(folder, size + 2)
    assert padded["tokenizer.ggml.tokens"][-2:] == [f"[PAD{size}]", f"[PAD{size + 1}]"]
    assert padded["tokenizer.ggml.token_type"][-2:].tolist() == [5, 5]


def test_a_text_begins_with_bos_where_the_file_says_so(folder: Path, tmp_path: Path) -> None:
    metadata = dict(read_gguf(fetch("smollm2-135m-instruct")).metadata)
    metadata["tokenizer.ggml.add_bos_token"] = True
    spec = gguf_tokenizer_files(metadata)["tokenizer.json"]
    assert tokenizers.Tokenizer.from_str(json.dumps(spec)).encode("Hi").ids[0] == 1
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    (tmp_path / "tokenizer_config.json").write_bytes(
        (folder / "tokenizer_config.json").read_bytes()
    )
    assert tokenizer_metadata(tmp_path, 49152)["tokenizer.ggml.add_bos_token"] is True


def test_all_that_a_file_can_say(tmp_path: Path) -> None:
    """What SmolLM2's leaves out: Llama 3's beginning and whole words, a token that is text."""
    tokens = ["a", "b", "ab", "abb", "<u>", "ba", "<end>", "<turn>", "<call>", "<pad>", "Ġ"]
    described: dict[str, Any] = {
        "model": "gpt2", "pre": "llama-bpe", "tokens": tokens, "merges": ["a b"],
        "token_type": np.array([1, 1, 1, 1, 4, 3, 3, 3, 3, 3, 1], np.int32),
        "bos_token_id": 6, "eos_token_id": 7, "eot_token_id": 8, "eom_token_id": 5,
        "unknown_token_id": 4, "padding_token_id": 9,
    }  # fmt: skip
    metadata = {f"tokenizer.ggml.{key}": value for key, value in described.items()}
    metadata["tokenizer.chat_template"] = "{{ bos_token }}|{{ eos_token }}"
    for name, content in gguf_tokenizer_files(metadata).items():
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for ours in (tokenizer_from_gguf(metadata), tokenizer_from_folder(tmp_path)):
        assert ours.encode("abb a<u>b ba<turn>") == [6, 3, 10, 0, 4, 1, 10, 5, 7]
        assert ours.encode("abb a<u>b ba<turn>") == theirs.encode("abb a<u>b ba<turn>").ids
        assert ours.encode("ba", special=False) == [6, 1, 0]
        assert (ours.bos_id, set(ours.eos_ids)) == (6, {5, 7, 8})
        assert ours.chat_template is not None
        assert ours.chat_template.render([]) == "<end>|<turn>"
    again = tokenizer_metadata(tmp_path, len(tokens))
    assert again.pop("tokenizer.ggml.add_bos_token") is True
    for key, value in again.items():
        assert np.array_equal(metadata[key], value), key
    lost = {key for key in metadata if key not in again}
    assert lost == {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}


def test_what_gguf_has_no_form_for(folder: Path, tmp_path: Path) -> None:
    spec = json.loads((folder / "tokenizer.json").read_text())
    for change, complaint in (
        ({"model": {"type": "Unigram"}}, "of type Unigram"),
        ({"pre_tokenizer": {"type": "Digits", "individual_digits": True}}, "no name for"),
        ({"model": spec["model"] | {"ignore_merges": True}}, "ignore_merges True"),
    ):
        (tmp_path / "tokenizer.json").write_text(json.dumps(spec | change))
        with pytest.raises(GroundupError, match=complaint):
            tokenizer_metadata(tmp_path, 49152)
