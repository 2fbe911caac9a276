"""The tokenizer of a model folder in Hugging Face's layout.

Source of the fields: tokenizer.json as the `tokenizers` library writes it, and the files that
transformers' `save_pretrained` puts beside it.
"""

import json
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError

from .added_tokens import AddedToken
from .byte_level_model import byte_level_model
from .chat_template import ChatTemplate
from .normalization import normalizer_from_json
from .pre_tokenization import splitter_from_json
from .token_model import TokenModel
from .tokenizer import Tokenizer
from .unigram_model import unigram_model
from .wordpiece_model import wordpiece_model

__all__ = ["tokenizer_from_folder", "tokenizer_from_json", "tokenizer_from_path"]


def tokenizer_from_folder(folder: Path) -> Tokenizer:
    """Build the tokenizer from tokenizer.json and, where they are, the files beside it.

    tokenizer_config.json and special_tokens_map.json name the BOS and EOS tokens,
    generation_config.json more ids that end a turn, and the chat template is in
    chat_template.jinja or tokenizer_config.json.

    Raises: GroundupError if tokenizer.json is missing or describes something other than the
    byte-level BPE, WordPiece or Unigram that this room implements.
    """
    if not (folder / "tokenizer.json").is_file():
        raise GroundupError(
            f"{folder} has no tokenizer.json, expected a model folder in Hugging Face's layout; "
            "name such a folder"
        )
    spec = read_json(folder / "tokenizer.json")
    config = read_json(folder / "special_tokens_map.json") | read_json(
        folder / "tokenizer_config.json"
    )
    ends = read_json(folder / "generation_config.json").get("eos_token_id") or []
    bos, eos = token_text(config.get("bos_token")), token_text(config.get("eos_token"))
    source = chat_template_source(folder, config)
    return tokenizer_from_json(
        spec,
        bos=bos,
        eos=eos,
        eos_ids=[ends] if isinstance(ends, int) else ends,
        chat_template=ChatTemplate(source, bos_token=bos, eos_token=eos) if source else None,
    )


def tokenizer_from_path(path: Path) -> Tokenizer:
    """Build the tokenizer of a model folder, or of a tokenizer.json by itself.

    Raises: GroundupError as ``tokenizer_from_folder``, and if there is no such file.
    """
    if path.is_dir():
        return tokenizer_from_folder(path)
    if not path.is_file():
        raise GroundupError(f"there is no {path}, expected a tokenizer.json or a folder with one")
    return tokenizer_from_json(read_json(path))


def tokenizer_from_json(
    spec: dict[str, Any],
    *,
    bos: str = "",
    eos: str = "",
    eos_ids: Collection[int] = (),
    chat_template: ChatTemplate | None = None,
) -> Tokenizer:
    """Build the tokenizer that the object in a tokenizer.json describes.

    Arguments: the tokens that begin and end a text, more ids that end a turn, and the template.
    Raises: GroundupError if it is not such an object, or describes something that is not supported.
    """
    try:
        added = [
            AddedToken(
                token["id"],
                token["content"],
                special=token["special"],
                single_word=token["single_word"],
                lstrip=token["lstrip"],
                rstrip=token["rstrip"],
                normalized=token["normalized"],
            )
            for token in spec["added_tokens"]
        ]
        model = token_model(spec, frozenset(token.id for token in added if token.special))
        ids = {**model.vocabulary, **{token.text: token.id for token in added}}
        before, behind = ids_around(spec.get("post_processor"))
        return Tokenizer(
            model,
            splitter_from_json(spec["pre_tokenizer"]),
            normalizer=normalizer_from_json(spec.get("normalizer")),
            added=added,
            bos_id=ids.get(bos),
            eos_ids={*eos_ids, *([ids[eos]] if eos else [])},
            prefix_ids=before,
            suffix_ids=behind,
            chat_template=chat_template,
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise GroundupError(
            f"tokenizer.json lacks a field or has one of another kind ({type(error).__name__}: "
            f"{error}), expected the file as it was published; fetch it again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GroundupError(
            f"{path} is not JSON ({error}), expected the file as it was published; fetch it again"
        ) from error
    return found


def token_model(spec: dict[str, Any], control_ids: frozenset[int]) -> TokenModel:
    """The model that a tokenizer.json describes."""
    model = spec["model"]
    decoder = spec.get("decoder") or {}
    pre = spec["pre_tokenizer"] or {}
    last = pre["pretokenizers"][-1] if pre.get("type") == "Sequence" else pre
    match model["type"]:
        case "BPE":
            # What follows would silently give other ids here.
            require("last pre-tokenizer", last.get("type"), "ByteLevel")
            require("decoder", decoder.get("type"), "ByteLevel")
            for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                         "byte_fallback"):  # fmt: skip
                require(name, model.get(name) or None, None)
            vocabulary: dict[str, int] = model["vocab"]
            return byte_level_model(
                vocabulary,
                [merge_pair(merge) for merge in model["merges"]],
                unknown_id=vocabulary.get(model.get("unk_token") or ""),
                whole_words=model.get("ignore_merges", False),
                control_ids=control_ids,
            )
        case "WordPiece":
            require("decoder", decoder.get("type"), "WordPiece")
            prefix = model["continuing_subword_prefix"]
            require("prefix in the decoder", decoder["prefix"], prefix)
            return wordpiece_model(
                model["vocab"],
                model["vocab"][model["unk_token"]],
                prefix=prefix,
                longest_word=model["max_input_chars_per_word"],
                close_up=decoder["cleanup"],
            )
        case "Unigram":
            require("pre-tokenizer", pre.get("type"), "Metaspace")
            require("decoder", decoder.get("type"), "Metaspace")
            require("byte_fallback", model.get("byte_fallback") or None, None)
            return unigram_model(
                [(token, score) for token, score in model["vocab"]],
                model["unk_id"],
                leading_mark=pre["prepend_scheme"] == "always",
                control_ids=control_ids,
            )
    require("model", model["type"], "BPE, WordPiece or Unigram")
    raise AssertionError


def require(name: str, found: object, expected: object) -> None:
    """Raises: GroundupError unless they are equal."""
    if found != expected:
        raise GroundupError(
            f"the {name} in tokenizer.json is {found!r}, expected {expected!r}; take a model "
            "with a byte-level BPE, a WordPiece or a Unigram tokenizer"
        )


def ids_around(post_processor: dict[str, Any] | None) -> tuple[list[int], list[int]]:
    """The ids that a post-processor puts before and behind every text."""
    match post_processor:
        case None | {"type": "ByteLevel"}:  # ByteLevel only adjusts offsets
            return [], []
        case {"type": "Sequence", "processors": list(parts)}:
            around = [found for found in map(ids_around, parts) if any(found)]
            if len(around) < 2:  # the library takes what a first one added for a second text
                return around[0] if around else ([], [])
        case {"type": "BertProcessing", "cls": [_, int(first)], "sep": [_, int(last)]}:
            return [first], [last]
        case {"type": "TemplateProcessing", "single": list(items), "special_tokens": dict(tokens)}:
            texts = [place for place, item in enumerate(items) if "Sequence" in item]
            if len(texts) == 1:
                ids = [
                    tokens[item["SpecialToken"]["id"]]["ids"] if "SpecialToken" in item else []
                    for item in items
                ]
                place = texts[0]
                return [*chain(*ids[:place])], [*chain(*ids[place:])]
    raise GroundupError(
        f"the post-processor {post_processor} in tokenizer.json is not supported, expected "
        "ByteLevel, BertProcessing, TemplateProcessing with one text, or a Sequence of these of "
        "which one adds tokens; take a model with such a tokenizer"
    )


def merge_pair(merge: str | list[str]) -> tuple[str, str]:
    """A merge as older files ("a b") and newer ones (["a", "b"]) write it."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def token_text(entry: str | dict[str, Any] | None) -> str:
    """A token in tokenizer_config.json: a string, an object with its flags, or null."""
    return entry["content"] if isinstance(entry, dict) else entry or ""


def chat_template_source(folder: Path, config: dict[str, Any]) -> str | None:
    """The folder's chat template, or None; of several, the one named "default"."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    source: str | list[dict[str, str]] | None = config.get("chat_template")
    if isinstance(source, list):
        return {entry["name"]: entry["template"] for entry in source}.get("default")
    return source
