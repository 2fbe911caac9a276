"""The tokenizer that a GGUF file carries in its metadata.

Source of the keys: the GGUF specification, section "Tokenizer", and llama.cpp's reader.
"""

from typing import Any

from groundup.errors import GroundupError

from .added_tokens import AddedToken
from .byte_level_model import byte_level_model
from .chat_template import ChatTemplate
from .pre_tokenization import named_splitter
from .tokenizer import Tokenizer

__all__ = ["tokenizer_from_gguf"]

# Values of tokenizer.ggml.token_type.
CONTROL = 3
USER_DEFINED = 4
# Llama 3's files leave the beginning to their reader, and its words that are tokens are not merged.
LLAMA3 = {"llama-bpe", "llama3", "llama-v3"}


def tokenizer_from_gguf(metadata: dict[str, Any]) -> Tokenizer:
    """Build the tokenizer from ``tokenizer.ggml.*`` and ``tokenizer.chat_template``.

    Arguments:
        metadata: the file's keys and values; numeric arrays may be NumPy arrays.

    Raises: GroundupError for a tokenizer other than byte-level BPE, an unknown pre-tokenizer, or a
    missing key.
    """

    def value(key: str) -> Any:
        if f"tokenizer.ggml.{key}" not in metadata:
            raise GroundupError(
                f"the GGUF file has no tokenizer.ggml.{key}, expected in every file with a "
                "byte-level BPE tokenizer; take a complete file"
            )
        return metadata[f"tokenizer.ggml.{key}"]

    def optional_id(key: str) -> int | None:
        found = metadata.get(f"tokenizer.ggml.{key}_token_id")
        return None if found is None else int(found)

    if value("model") != "gpt2":
        raise GroundupError(
            f"the GGUF file's tokenizer is {value('model')!r}, expected 'gpt2' (byte-level BPE); "
            "take a model with such a tokenizer"
        )
    tokens: list[str] = value("tokens")
    merges = [merge.split(" ") for merge in value("merges")]
    pre = metadata.get("tokenizer.ggml.pre", "default")
    add_bos = metadata.get("tokenizer.ggml.add_bos_token", pre in LLAMA3)
    bos_id, eos_id = optional_id("bos"), optional_id("eos")
    source = metadata.get("tokenizer.chat_template")
    added = [
        AddedToken(i, tokens[i], special=kind == CONTROL)
        for i, kind in enumerate(value("token_type"))
        if kind in (CONTROL, USER_DEFINED)
    ]
    return Tokenizer(
        byte_level_model(
            {token: i for i, token in enumerate(tokens)},
            [(left, right) for left, right in merges],
            whole_words=pre in LLAMA3,
            # GGUF lists them among the others.
            control_ids=frozenset(token.id for token in added if token.special),
        ),
        named_splitter(pre),
        added=added,
        bos_id=bos_id,
        eos_ids=[i for i in (eos_id, optional_id("eot"), optional_id("eom")) if i is not None],
        prefix_ids=[bos_id] if add_bos and bos_id is not None else [],
        chat_template=ChatTemplate(
            source,
            bos_token="" if bos_id is None else tokens[bos_id],
            eos_token="" if eos_id is None else tokens[eos_id],
        )
        if source
        else None,
    )
