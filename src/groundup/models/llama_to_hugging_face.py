"""A Llama-family model saved in Hugging Face's layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.hugging_face_folder import rename, write_folder
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_hugging_face import EXPERTS

__all__ = ["hugging_face_config", "llama_to_hugging_face"]


def llama_to_hugging_face(
    model: Llama,
    folder: Path,
    *,
    state: Mapping[str, Tensor] | None = None,
    entries: Mapping[str, Any] | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``, which `transformers` reads as well.

    Args:
        model: whose configuration is written.
        folder: is made.
        state: tensors to write, by our names; by default the model's.
        entries: for the configuration, beside the model's own or in their place.

    Raises:
        GroundupError: the folder cannot be written, or no published family has this shape.
    """
    found = hugging_face_config(model)
    config = model.config
    tensors = dict(model.state_dict() if state is None else state)
    if config.tied_embeddings:
        del tensors["lm_head.weight"]
    if config.experts:
        tensors = rename(tensors, [(ours, theirs) for theirs, ours in EXPERTS])
    named = {n if n.startswith("lm_head") else f"model.{n}": w for n, w in tensors.items()}
    write_folder(folder, found | dict(entries or {}), named)


def hugging_face_config(model: Llama) -> dict[str, Any]:
    """What ``config.json`` says of the model.

    Raises:
        GroundupError: no published family has this shape.
    """
    config = model.config
    kind, architecture = _family(config)
    rotary: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rotary_base}
    if (scaling := config.rotary_scaling) is not None:
        if scaling.kind == "factors":
            raise GroundupError("a model whose rotary positions are scaled one by one has no "
                                "configuration in Hugging Face's layout")  # fmt: skip
        rotary |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            rotary |= {
                "low_freq_factor": scaling.low,
                "high_freq_factor": scaling.high,
                "original_max_position_embeddings": scaling.original_context,
            }
    found: dict[str, Any] = {
        "architectures": [f"{architecture}ForCausalLM"],
        "model_type": kind,
        "vocab_size": config.vocabulary,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": rotary,
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.qkv_bias,
        "hidden_act": "silu",
        "sliding_window": config.window,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": str(model.embed_tokens.weight.dtype).removeprefix("torch."),
    }
    if kind == "smollm3":
        without = config.layers_without_rotary
        found["no_rope_layers"] = [int(layer not in without) for layer in range(config.layers)]
    if config.experts:
        found["num_local_experts"] = config.experts
        found["num_experts_per_tok"] = config.experts_per_token
    return found


def _family(config: LlamaConfig) -> tuple[str, str]:
    """The ``model_type`` of this shape, and what its architecture is called."""
    biased = (config.qkv_bias, config.output_bias)
    traits = {
        ("mixtral", "Mixtral"): config.experts > 0,
        ("mistral", "Mistral"): config.window is not None and not config.experts,
        ("qwen3", "Qwen3"): config.qk_norm,
        ("qwen2", "Qwen2"): biased == (True, False),
        ("smollm3", "SmolLM3"): bool(config.layers_without_rotary),
    }
    found = [family for family, has in traits.items() if has]
    if len(found) > 1 or (found and biased == (True, True)):
        raise GroundupError(f"no family in Hugging Face's layout has all of this: {config}")
    return found[0] if found else ("llama", "Llama")
