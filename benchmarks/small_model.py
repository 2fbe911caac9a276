"""A Llama of about six million parameters, made on the spot: random weights, SmolLM2's first words.

Its folder is in Hugging Face's layout, so that our server and every peer can load it.

    python -m benchmarks.small_model FOLDER
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.models.llama import Llama, LlamaConfig

__all__ = ["CONFIG", "small_model", "write_small_model"]

CONTROL = 3  # a value of tokenizer.ggml.token_type

CONFIG = LlamaConfig(
    vocabulary=8192, dim=256, hidden_dim=704, layers=5, heads=4, kv_heads=2, head_dim=64,
    context=512, tied_embeddings=True,
)  # fmt: skip


def small_model() -> Llama:
    """Matrices in bfloat16, norms in float32, as models are loaded on such processors."""
    torch.manual_seed(0)
    model = Llama(CONFIG).requires_grad_(False).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.bfloat16()
    return model


def write_small_model(folder: Path) -> None:
    """Write `small_model` and a tokenizer: config.json, model.safetensors, tokenizer.json, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    # Without what the output layer shares with the embedding.
    state = {
        f"model.{name}": weight.to(torch.bfloat16).contiguous()
        for name, weight in small_model().state_dict().items()
        if not name.startswith("lm_head")
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    files: dict[str, dict[str, Any]] = {
        "config.json": config_json(),
        "generation_config.json": {"eos_token_id": 2, "pad_token_id": 2},
        "tokenizer.json": tokenizer_json(metadata),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "chat_template": metadata["tokenizer.chat_template"],
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def config_json() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",  # its name before transformers 5
        "vocab_size": CONFIG.vocabulary,
        "hidden_size": CONFIG.dim,
        "intermediate_size": CONFIG.hidden_dim,
        "num_hidden_layers": CONFIG.layers,
        "num_attention_heads": CONFIG.heads,
        "num_key_value_heads": CONFIG.kv_heads,
        "head_dim": CONFIG.head_dim,
        "max_position_embeddings": CONFIG.context,
        "rms_norm_eps": CONFIG.norm_eps,
        "rope_theta": CONFIG.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": CONFIG.rotary_base},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": CONFIG.tied_embeddings,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }


def tokenizer_json(metadata: dict[str, Any]) -> dict[str, Any]:
    """SmolLM2's byte-level BPE, as far as its vocabulary's first 8,192 tokens go.

    Merges stand in the order of the tokens they make, so the beginning is consistent in itself.
    """
    tokens: list[str] = metadata["tokenizer.ggml.tokens"][: CONFIG.vocabulary]
    known = set(tokens)
    merges = [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]]
    kinds = metadata["tokenizer.ggml.token_type"][: CONFIG.vocabulary]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True
    }  # fmt: skip
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": tokens[i], "special": True} | flags
            for i, kind in enumerate(kinds)
            if kind == CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "unk_token": "<|endoftext|>",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [
                [left, right]
                for left, right in merges
                if left in known and right in known and left + right in known
            ],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    write_small_model(parser.parse_args().folder)


if __name__ == "__main__":
    main()
