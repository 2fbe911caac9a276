"""A Llama-family model from a folder in Hugging Face's layout."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.from_bitsandbytes import from_bitsandbytes
from groundup.models.from_compressed_tensors import from_compressed_tensors
from groundup.models.hugging_face_folder import read_config, read_weights, rename
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.rotary_scaling import RotaryScaling

__all__ = ["MODEL_TYPES", "llama_from_hugging_face"]

MODEL_TYPES = ("llama", "qwen2", "qwen3", "smollm3", "mistral", "mixtral")
EXPERTS = [("block_sparse_moe", "mlp"), (".w1.", ".gate_proj."), (".w2.", ".down_proj."),
           (".w3.", ".up_proj.")]  # fmt: skip


def llama_from_hugging_face(folder: Path, dtype: torch.dtype = torch.float32) -> Llama:
    """The model of ``config.json`` and ``*.safetensors``, its matrices in ``dtype``, on the CPU.

    Raises:
        GroundupError: a file is missing or damaged, or the configuration is not one of ours.
    """
    entries = read_config(folder, *MODEL_TYPES)
    path = folder / "config.json"
    try:
        config = _config(entries, path)
    except KeyError as error:
        raise GroundupError(f"{path} lacks the entry {error}") from None
    weights = read_weights(folder)
    if (quantization := entries.get("quantization_config")) is not None:
        weights = _dequantized(weights, quantization, path)
    state = {
        name.removeprefix("model."): w.to(torch.float32 if w.ndim == 1 else dtype)
        for name, w in rename(weights, EXPERTS).items()
    }
    return Llama.from_state(config, state, folder)


def _dequantized(
    weights: dict[str, Tensor], config: dict[str, Any], path: Path
) -> dict[str, Tensor]:
    """What quantised weights stand for, in float32."""
    method = config.get("quant_method")
    try:
        if method == "compressed-tensors":
            return from_compressed_tensors(weights, config, path)
        if method == "bitsandbytes":
            return from_bitsandbytes(weights)
    except KeyError as error:
        raise GroundupError(f"{path} or the weights beside it lack {error}") from None
    raise GroundupError(
        f"{path} says that the weights are quantised by {method!r}: expected compressed-tensors or "
        "bitsandbytes; take the model that it was made from, and `groundup quantize` it"
    )


def _config(config: dict[str, Any], path: Path) -> LlamaConfig:
    kind = config["model_type"]
    if config.get("use_sliding_window") or config.get("mlp_bias"):
        raise GroundupError(f"{path} asks for sliding windows or biased feed-forward layers: "
                            "neither is supported")  # fmt: skip
    if (activation := config.get("hidden_act", "silu")) != "silu":
        raise GroundupError(f"{path} asks for the activation {activation!r}: expected 'silu'")
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    # Newer files gather what concerns rotary positions in one entry.
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    biased = kind == "qwen2" or bool(config.get("attention_bias", False))
    return LlamaConfig(
        vocabulary=config["vocab_size"],
        dim=config["hidden_size"],
        hidden_dim=config["intermediate_size"],
        layers=layers,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        context=config["max_position_embeddings"],
        norm_eps=config["rms_norm_eps"],
        rotary_base=rotary.get("rope_theta") or config.get("rope_theta", 10000.0),
        rotary_scaling=_scaling(rotary, path),
        layers_without_rotary=frozenset(
            layer for layer, on in enumerate(config.get("no_rope_layers") or []) if not on
        ),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=biased,
        output_bias=biased and kind != "qwen2",
        qk_norm=kind == "qwen3",
        window=config.get("sliding_window") if kind in ("mistral", "mixtral") else None,
        experts=config["num_local_experts"] if kind == "mixtral" else 0,
        experts_per_token=config.get("num_experts_per_tok", 2),
    )


def _scaling(rotary: dict[str, Any], path: Path) -> RotaryScaling | None:
    kind = rotary.get("rope_type") or rotary.get("type") or "default"
    if kind == "default":
        return None
    if kind == "linear":
        return RotaryScaling("linear", factor=rotary["factor"])
    if kind == "llama3":
        return RotaryScaling(
            "llama3",
            factor=rotary["factor"],
            low=rotary["low_freq_factor"],
            high=rotary["high_freq_factor"],
            original_context=rotary["original_max_position_embeddings"],
        )
    raise GroundupError(
        f"{path} scales rotary positions by {kind!r}: expected default, linear or llama3"
    )
