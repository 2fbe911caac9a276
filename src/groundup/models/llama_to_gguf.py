"""A Llama-family model by GGUF's names: its metadata, its tensors, and the order of their rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_gguf import NAMES
from groundup.models.rotary import rotary_frequencies

__all__ = ["architecture_of", "gguf_name", "llama_metadata", "paired_rows", "rotary_factors"]

OURS = {ours: theirs for theirs, ours in NAMES.items()}


def architecture_of(config: LlamaConfig) -> str:
    """What llama.cpp calls a model of this shape.

    Raises:
        GroundupError: it has no name for it, or one whose files we do not write.
    """
    if config.experts or config.layers_without_rotary or config.output_bias:
        raise GroundupError(
            "models with experts, layers without rotary positions or biased attention outputs are "
            "not written as GGUF: write a folder (--out without .gguf)"
        )
    if config.qk_norm:
        return "qwen3"
    return "qwen2" if config.qkv_bias else "llama"


def llama_metadata(config: LlamaConfig, name: str) -> dict[str, Any]:
    """What a file says of the model, without the tokenizer."""
    kind = architecture_of(config)
    found: dict[str, Any] = {
        "general.architecture": kind,
        "general.type": "model",
        "general.name": name,
        f"{kind}.block_count": config.layers,
        f"{kind}.context_length": config.context,
        f"{kind}.embedding_length": config.dim,
        f"{kind}.feed_forward_length": config.hidden_dim,
        f"{kind}.attention.head_count": config.heads,
        f"{kind}.attention.head_count_kv": config.kv_heads,
        f"{kind}.attention.key_length": config.head_dim,
        f"{kind}.attention.value_length": config.head_dim,
        f"{kind}.attention.layer_norm_rms_epsilon": float(config.norm_eps),
        f"{kind}.rope.freq_base": float(config.rotary_base),
        f"{kind}.rope.dimension_count": config.head_dim,
        f"{kind}.vocab_size": config.vocabulary,
    }
    if config.window is not None:
        found[f"{kind}.attention.sliding_window"] = config.window
    if (scaling := config.rotary_scaling) is not None and scaling.kind == "linear":
        found |= {
            f"{kind}.rope.scaling.type": "linear",
            f"{kind}.rope.scaling.factor": float(scaling.factor),
        }
    return found


def gguf_name(name: str) -> str:
    """A parameter's name in the file, such as ``blk.3.attn_q.weight``."""
    stem, _, kind = name.rpartition(".")
    parts = stem.split(".")
    if parts[0] != "layers":
        return f"{OURS[stem]}.{kind}"
    generic = ".".join(["layers", "N", *parts[2:]])
    return f"{OURS[generic]}.{kind}".replace("N", parts[1], 1)


def paired_rows(name: str, config: LlamaConfig) -> NDArray[np.int64] | None:
    """The order in which a file has the rows of queries and keys; None: as they are.

    Files of the architecture "llama" rotate pairs of neighbouring features, where we rotate feature
    i with i + D / 2: of each head they have the rows 0, D / 2, 1, D / 2 + 1, ...
    """
    if architecture_of(config) != "llama":
        return None
    heads = {"q_proj": config.heads, "k_proj": config.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return None
    rows = np.arange(heads * config.head_dim).reshape(heads, 2, -1)
    return rows.swapaxes(1, 2).reshape(-1)


def rotary_factors(model: Llama) -> NDArray[np.float32] | None:
    """By what each pair's frequency is divided, for ``rope_freqs.weight``; None: by nothing."""
    scaling = model.config.rotary_scaling
    if scaling is None or scaling.kind == "linear":
        return None
    plain = rotary_frequencies(model.config.head_dim, model.config.rotary_base)
    assert isinstance(model.frequencies, Tensor)
    factors: NDArray[np.float32] = (plain / model.frequencies).float().numpy()
    return factors
