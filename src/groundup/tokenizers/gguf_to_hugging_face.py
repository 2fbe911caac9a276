"""A GGUF file's tokenizer in Hugging Face's layout."""

import json
from pathlib import Path
from typing import Any

from groundup import atomic_write

from .from_gguf import CONTROL, LLAMA3, USER_DEFINED, tokenizer_from_gguf
from .pre_tokenization import NAMES
from .tokenizer_json import byte_pair_json

__all__ = ["write_tokenizer"]


def write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``generation_config.json``.

    Arguments:
        metadata: the file's keys and values.
        folder: is there.

    Raises: GroundupError as ``tokenizer_from_gguf``.
    """
    tokenizer = tokenizer_from_gguf(metadata)  # refuses what is no byte-level BPE
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    kinds = [int(kind) for kind in metadata["tokenizer.ggml.token_type"]]
    pre = metadata.get("tokenizer.ggml.pre", "default")
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    spec = byte_pair_json(vocabulary, merges, [], "gpt2")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
             "use_regex": False}  # fmt: skip
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in NAMES[pre]
    ]
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*cuts, level]}
    spec["model"]["ignore_merges"] = pre in LLAMA3
    spec["added_tokens"] = [
        {"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": kind == CONTROL}
        for i, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)
    ]  # fmt: skip
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast",
                              "clean_up_tokenization_spaces": False}  # fmt: skip
    for name in ("bos", "eos"):
        if (found := metadata.get(f"tokenizer.ggml.{name}_token_id")) is not None:
            config[f"{name}_token"] = tokens[int(found)]
    if source := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = source
    if tokenizer.encode("") and tokenizer.bos_id is not None:  # a text begins with the BOS token
        spec["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": config["bos_token"], "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {config["bos_token"]: {
                "id": config["bos_token"], "ids": [tokenizer.bos_id],
                "tokens": [config["bos_token"]]}},
        }  # fmt: skip
    for name, content in (
        ("tokenizer.json", spec),
        ("tokenizer_config.json", config),
        ("generation_config.json", {"eos_token_id": sorted(tokenizer.eos_ids)}),
    ):
        atomic_write.write_text(folder / name, json.dumps(content, ensure_ascii=False, indent=2))
