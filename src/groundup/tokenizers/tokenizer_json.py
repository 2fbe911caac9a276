"""Trained vocabularies in the form of a Hugging Face tokenizer.json.

Source: the file as the `tokenizers` library 0.23 writes and reads it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup import atomic_write
from groundup.errors import GroundupError

from .pre_tokenization import PATTERNS
from .word_scanner import GPT2_PATTERN

__all__ = ["byte_pair_json", "save_tokenizer", "unigram_json", "wordpiece_json"]


def save_tokenizer(spec: dict[str, Any], path: Path) -> None:
    """Write the object to a file, or to tokenizer.json in a folder, which is made.

    A folder gets a tokenizer_config.json too, as transformers expects beside it.
    """
    if path.suffix == ".json":
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(path, json.dumps(spec, ensure_ascii=False, indent=2))
        return
    if path.exists() and not path.is_dir():
        raise GroundupError(f"{path} is a file, expected a folder or a name that ends in .json")
    path.mkdir(parents=True, exist_ok=True)
    save_tokenizer(spec, path / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    atomic_write.write_text(path / "tokenizer_config.json", json.dumps(config, indent=2))


def byte_pair_json(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], special: Sequence[str], pattern: str
) -> dict[str, Any]:
    """Of byte-level BPE. ``pattern`` is a name of ``PATTERNS``."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    level["use_regex"] = PATTERNS[pattern] == GPT2_PATTERN
    split = {
        "type": "Split",
        "pattern": {"Regex": PATTERNS[pattern]},
        "behavior": "Isolated",
        "invert": False,
    }
    cut = level if level["use_regex"] else {"type": "Sequence", "pretokenizers": [split, level]}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": [list(merge) for merge in merges],
    }
    return whole(model, vocabulary, special, pre_tokenizer=cut, post_processor=level, decoder=level)


def wordpiece_json(
    vocabulary: dict[str, int], special: Sequence[str], normalizer: dict[str, Any]
) -> dict[str, Any]:
    """Of WordPiece with BERT's words; ``[CLS]`` and ``[SEP]`` stand around a text."""
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    around = {
        "type": "BertProcessing",
        "sep": ["[SEP]", vocabulary["[SEP]"]],
        "cls": ["[CLS]", vocabulary["[CLS]"]],
    }
    return whole(
        model,
        vocabulary,
        special,
        normalizer=normalizer,
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=around,
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )


def unigram_json(
    pieces: list[tuple[str, float]],
    special: Sequence[str],
    normalizer: dict[str, Any],
    pre_tokenizer: dict[str, Any],
) -> dict[str, Any]:
    """Of Unigram. ``pieces`` begin with the special tokens, whose first is the unknown one."""
    model = {
        "type": "Unigram",
        "unk_id": 0,
        # More digits would not be read exactly by every reader, and break ties otherwise there.
        "vocab": [[token, round(score, 9)] for token, score in pieces],
        "byte_fallback": False,
    }
    vocabulary = {token: i for i, (token, _) in enumerate(pieces)}
    return whole(
        model,
        vocabulary,
        special,
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        decoder=pre_tokenizer,
    )


def whole(
    model: dict[str, Any], vocabulary: dict[str, int], special: Sequence[str], **steps: Any
) -> dict[str, Any]:
    added = [
        {
            "id": vocabulary[token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in special
    ]
    names = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        **{name: steps.get(name) for name in names},
        "model": model,
    }
