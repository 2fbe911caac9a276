"""A Llama-family model from a GGUF file, dequantised as it is read."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.dequantize import dequantize
from groundup.models.gguf import GGUFFile, GGUFTensor
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.rotary_scaling import RotaryScaling

__all__ = ["llama_from_gguf"]

ARCHITECTURES = ("llama", "qwen2", "qwen3", "smollm3")

# GGUF's names of tensors, as ours; "N" stands for the number of a layer.
NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "blk.N.attn_norm": "layers.N.input_layernorm",
    "blk.N.attn_q": "layers.N.self_attn.q_proj",
    "blk.N.attn_k": "layers.N.self_attn.k_proj",
    "blk.N.attn_v": "layers.N.self_attn.v_proj",
    "blk.N.attn_output": "layers.N.self_attn.o_proj",
    "blk.N.attn_q_norm": "layers.N.self_attn.q_norm",
    "blk.N.attn_k_norm": "layers.N.self_attn.k_norm",
    "blk.N.ffn_norm": "layers.N.post_attention_layernorm",
    "blk.N.ffn_gate": "layers.N.mlp.gate_proj",
    "blk.N.ffn_up": "layers.N.mlp.up_proj",
    "blk.N.ffn_down": "layers.N.mlp.down_proj",
}


def llama_from_gguf(file: GGUFFile, dtype: torch.dtype = torch.float32) -> Llama:
    """The model in the file, on the CPU, ready to generate: its matrices in ``dtype``.

    Raises:
        GroundupError: the architecture or its rotary scaling is not one of ours, or metadata or
            tensors are missing.
    """
    config = _config(file)
    state: dict[str, Tensor] = {}
    for name, tensor in file.tensors.items():
        if name != "rope_freqs.weight":  # became part of the configuration
            weight = _weight(tensor, file.metadata["general.architecture"], config)
            kept = torch.float32 if weight.ndim == 1 else dtype  # norms and biases stay wide
            state[_our_name(name)] = torch.from_numpy(weight).to(kept)
    return Llama.from_state(config, state, file.path)


def _config(file: GGUFFile) -> LlamaConfig:
    metadata, tensors = file.metadata, file.tensors
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise GroundupError(
            f"{file.path} holds a model of architecture {architecture!r}: expected one of "
            f"{', '.join(ARCHITECTURES)}"
        )

    def value(key: str, default: Any = None) -> Any:
        found = metadata.get(f"{architecture}.{key}", default)
        if found is None:
            raise GroundupError(f"{file.path} lacks the metadata {architecture}.{key}")
        return found

    heads = int(value("attention.head_count"))
    dim = int(value("embedding_length"))
    layers = int(value("block_count"))
    if "token_embd.weight" not in tensors:
        raise GroundupError(f"{file.path} lacks the tensor token_embd.weight")
    # SmolLM3 rotates in three layers of four; its files do not say so, its paper does.
    unrotated = frozenset(range(3, layers, 4)) if architecture == "smollm3" else frozenset()
    return LlamaConfig(
        vocabulary=tensors["token_embd.weight"].shape[0],
        dim=dim,
        hidden_dim=int(value("feed_forward_length")),
        layers=layers,
        heads=heads,
        kv_heads=int(value("attention.head_count_kv", heads)),
        head_dim=int(value("attention.key_length", dim // heads)),
        context=int(value("context_length")),
        norm_eps=float(value("attention.layer_norm_rms_epsilon")),
        rotary_base=float(value("rope.freq_base", 10000.0)),
        rotary_scaling=_scaling(file),
        layers_without_rotary=unrotated,
        tied_embeddings="output.weight" not in tensors,
        qkv_bias="blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        qk_norm="blk.0.attn_q_norm.weight" in tensors,
    )


def _scaling(file: GGUFFile) -> RotaryScaling | None:
    if (factors := file.tensors.get("rope_freqs.weight")) is not None:
        values = dequantize(factors.raw, factors.type, factors.shape)
        return RotaryScaling("factors", factors=tuple(values.tolist()))
    prefix = f"{file.metadata['general.architecture']}.rope.scaling"
    kind = file.metadata.get(f"{prefix}.type", "none")
    if kind == "none":
        return None
    if kind == "linear":
        return RotaryScaling("linear", factor=float(file.metadata[f"{prefix}.factor"]))
    raise GroundupError(f"{file.path} scales rotary positions by {kind!r}: expected linear or none")


def _our_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")  # kind is weight or bias
    parts = stem.split(".")
    if parts[0] != "blk":
        return f"{NAMES.get(stem, stem)}.{kind}"
    generic = ".".join(["blk", "N", *parts[2:]])
    return f"{NAMES.get(generic, generic)}.{kind}".replace("N", parts[1], 1)


def _weight(tensor: GGUFTensor, architecture: str, config: LlamaConfig) -> np.ndarray[Any, Any]:
    weight = dequantize(tensor.raw, tensor.type, tensor.shape)
    # Files of this architecture store the rows of queries and keys for pairs of neighbouring
    # features; our rotation pairs the halves (llama.cpp's converter permutes them).
    if architecture == "llama" and ".attn_q." in tensor.name:
        return _halves(weight, config.heads)
    if architecture == "llama" and ".attn_k." in tensor.name:
        return _halves(weight, config.kv_heads)
    return weight


def _halves(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of each head from the order 0, D/2, 1, D/2 + 1, ... back to 0, 1, ..., D - 1."""
    pairs = weight.reshape(heads, -1, 2, *weight.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)
