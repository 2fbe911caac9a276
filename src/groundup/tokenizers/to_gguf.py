"""The tokenizer of a Hugging Face folder as a GGUF file's metadata.

Source of the keys: the GGUF specification, section "Tokenizer", and llama.cpp's reader.
"""

from pathlib import Path
from typing import Any

import numpy as np

from groundup.errors import GroundupError

from .from_gguf import CONTROL, LLAMA3, USER_DEFINED
from .from_hugging_face import chat_template_source, ids_around, merge_pair, read_json, token_text
from .pre_tokenization import splitter_name

__all__ = ["tokenizer_metadata"]

NORMAL, UNUSED = 1, 5  # values of tokenizer.ggml.token_type


def tokenizer_metadata(folder: Path, size: int) -> dict[str, Any]:
    """``tokenizer.ggml.*`` and ``tokenizer.chat_template`` for the folder's tokenizer.

    Args:
        folder: with tokenizer.json.
        size: rows of the model's embedding matrix; ids without a token get one that is unused.

    Raises:
        GroundupError: the tokenizer is not byte-level BPE, or cuts words in a way that has no
            name in GGUF.
    """
    spec = read_json(folder / "tokenizer.json")
    config = read_json(folder / "special_tokens_map.json") | read_json(
        folder / "tokenizer_config.json"
    )
    model = spec.get("model", {})
    if model.get("type") != "BPE":
        raise GroundupError(
            f"{folder} has a tokenizer of type {model.get('type')}: only byte-level BPE is written "
            "as GGUF; write a folder (--out without .gguf)"
        )
    pre = splitter_name(spec["pre_tokenizer"])
    if model.get("ignore_merges", False) != (pre in LLAMA3):
        raise GroundupError(
            f"{folder}/tokenizer.json has ignore_merges {pre not in LLAMA3}, which GGUF does not "
            f"know of words cut as {pre}; write a folder (--out without .gguf)"
        )
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = np.full(size, UNUSED, np.int32)
    for token, i in model["vocab"].items():
        tokens[i], kinds[i] = token, NORMAL
    for added in spec["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    ids = {token: i for i, token in enumerate(tokens)}
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(merge_pair(merge)) for merge in model["merges"]],
    }
    for key, entry in (("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"),
                       ("padding", "pad_token")):  # fmt: skip
        if (token := token_text(config.get(entry))) in ids:
            found[f"tokenizer.ggml.{key}_token_id"] = ids[token]
    before, _ = ids_around(spec.get("post_processor"))
    found["tokenizer.ggml.add_bos_token"] = before == [found.get("tokenizer.ggml.bos_token_id")]
    if template := chat_template_source(folder, config):
        found["tokenizer.chat_template"] = template
    return found
