"""The tokenizer of a GGUF file as Hugging Face's files describe one."""

from typing import Any

from groundup.errors import GroundupError

from .from_gguf import CONTROL, LLAMA3, USER_DEFINED
from .pre_tokenization import NAMES

__all__ = ["gguf_tokenizer_files"]


def gguf_tokenizer_files(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The objects for tokenizer.json, tokenizer_config.json and generation_config.json, by name.

    Args:
        metadata: with ``tokenizer.ggml.*`` of a byte-level BPE, as `tokenizer_from_gguf` reads it.

    Raises:
        GroundupError: the pre-tokenizer is not one of ours.
    """

    def value(key: str, default: Any = None) -> Any:
        return metadata.get(f"tokenizer.ggml.{key}", default)

    pre = value("pre", "default")
    if pre not in NAMES:
        raise GroundupError(f"the pre-tokenizer {pre!r} is none of {', '.join(NAMES)}")
    tokens: list[str] = value("tokens")
    special = {"normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    added = [
        {"id": i, "content": tokens[i], "special": bool(kind == CONTROL), **special}
        for i, kind in enumerate(value("token_type"))
        if kind in (CONTROL, USER_DEFINED)
    ]
    names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    ids = {key: int(found) for key in names if (found := value(f"{key}_token_id")) is not None}
    byte_level = {"add_prefix_space": False, "trim_offsets": True}
    cut = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in NAMES[pre]
    ]
    after: dict[str, Any] = {"type": "ByteLevel", **byte_level, "use_regex": False}
    if value("add_bos_token", pre in LLAMA3) and "bos" in ids:
        bos = tokens[ids["bos"]]
        first = {"SpecialToken": {"id": bos, "type_id": 0}}
        texts = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
        after = {
            "type": "TemplateProcessing",
            "single": [first, texts[0]],
            "pair": [first, *texts],
            "special_tokens": {bos: {"id": bos, "ids": [ids["bos"]], "tokens": [bos]}},
        }
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{names[key]: tokens[i] for key, i in ids.items()},
    }
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    ends = [ids["eos"]] if "eos" in ids else []
    ends += [int(i) for key in ("eot", "eom") if (i := value(f"{key}_token_id")) is not None]
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [*cut, {"type": "ByteLevel", **byte_level, "use_regex": False}],
            },
            "post_processor": after,
            "decoder": {"type": "ByteLevel", **byte_level, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": pre in LLAMA3,
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in value("merges")],
            },
        },
        "tokenizer_config.json": config,
        "generation_config.json": {"eos_token_id": ends} if ends else {},
    }
