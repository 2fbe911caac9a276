"""The tokenizer of a model folder in Hugging Face's layout.

Source of the fields: tokenizer.json as the `tokenizers` library writes it, and the files that
transformers' `save_pretrained` puts beside it.
"""

import json
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError

from .added_tokens import AddedToken
from .chat_template import ChatTemplate
from .pre_tokenization import splitter_from_json
from .tokenizer import Tokenizer

__all__ = ["tokenizer_from_folder"]


def tokenizer_from_folder(folder: Path) -> Tokenizer:
    """Build the tokenizer from tokenizer.json and, where they are, the files beside it.

    tokenizer_config.json and special_tokens_map.json name the BOS and EOS tokens,
    generation_config.json more ids that end a turn, and the chat template is in
    chat_template.jinja or tokenizer_config.json.

    Raises: GroundupError if tokenizer.json is missing or describes something other than byte-level
    BPE as this room implements it.
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
    model = spec["model"]
    refuse_unsupported(spec, model)
    vocabulary: dict[str, int] = model["vocab"]
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
    ids = vocabulary | {token.text: token.id for token in added}
    bos, eos = token_text(config.get("bos_token")), token_text(config.get("eos_token"))
    ends = read_json(folder / "generation_config.json").get("eos_token_id") or []
    source = chat_template_source(folder, config)
    return Tokenizer(
        vocabulary,
        [merge_pair(merge) for merge in model["merges"]],
        splitter_from_json(spec["pre_tokenizer"]),
        added=added,
        bos_id=ids.get(bos),
        eos_ids={*([ends] if isinstance(ends, int) else ends), *([ids[eos]] if eos else [])},
        prefix_ids=prefix_ids(spec.get("post_processor")),
        unknown_id=vocabulary.get(model.get("unk_token") or ""),
        nfc=spec.get("normalizer") is not None,
        ignore_merges=model.get("ignore_merges", False),
        chat_template=ChatTemplate(source, bos_token=bos, eos_token=eos) if source else None,
    )


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


def refuse_unsupported(spec: dict[str, Any], model: dict[str, Any]) -> None:
    """Raise GroundupError for each setting that would silently give other ids here."""
    pre = spec["pre_tokenizer"] or {}
    last = pre["pretokenizers"][-1] if pre.get("type") == "Sequence" else pre
    wanted = [
        ("model", model["type"], "BPE"),
        ("last pre-tokenizer", last.get("type"), "ByteLevel"),
        ("decoder", (spec["decoder"] or {}).get("type"), "ByteLevel"),
        *(
            (name, model.get(name) or None, None)
            for name in (
                "dropout",
                "continuing_subword_prefix",
                "end_of_word_suffix",
                "fuse_unk",
                "byte_fallback",
            )
        ),
    ]
    if spec.get("normalizer") is not None:
        wanted.append(("normalizer", spec["normalizer"]["type"], "NFC"))
    for name, found, expected in wanted:
        if found != expected:
            raise GroundupError(
                f"the {name} in tokenizer.json is {found!r}, expected {expected!r}; take a model "
                "with a byte-level BPE tokenizer"
            )


def prefix_ids(post_processor: dict[str, Any] | None) -> list[int]:
    """The ids that a post-processor puts before every text."""
    match post_processor:
        case None | {"type": "ByteLevel"}:  # ByteLevel only adjusts offsets
            return []
        case {"type": "Sequence", "processors": list(parts)}:
            return [i for part in parts for i in prefix_ids(part)]
        case {
            "type": "TemplateProcessing",
            "single": [*before, {"Sequence": {"id": "A"}}],
            "special_tokens": dict(tokens),
        }:
            return [i for item in before for i in tokens[item["SpecialToken"]["id"]]["ids"]]
    raise GroundupError(
        f"the post-processor {post_processor} in tokenizer.json is not supported, expected "
        "ByteLevel, TemplateProcessing with tokens before the text, or a Sequence of these; take "
        "a model with such a tokenizer"
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
