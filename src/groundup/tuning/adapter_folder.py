"""Adapters in PEFT's layout: saved, so that `peft` loads them, and loaded, also those that it made.

An adapter's folder holds ``adapter_config.json`` and ``adapter_model.safetensors``. In the metadata
of the latter stands what PEFT does not ask: the digest of the base, and the method.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.models.gpt2 import GPT2
from groundup.models.linear import Linear
from groundup.models.llama import Llama
from groundup.models.peft_folder import (
    BASE_DIGEST,
    check_base,
    check_lora,
    rank_and_scaling,
    read_peft_config,
    read_peft_weights,
)
from groundup.models.t5 import T5
from groundup.models.t5_hugging_face import rename_t5
from groundup.tuning.adapt import AdaptedModel, adapt, adapt_layers, linear_layers, low_rank
from groundup.tuning.adapted_linear import AdaptedLinear
from groundup.tuning.adapter_config import AdapterConfig, Method
from groundup.tuning.dora import DoraLinear
from groundup.tuning.ia3 import Ia3Linear
from groundup.tuning.lora import LoraLinear

__all__ = ["load_adapter", "save_adapter"]

KINDS = {"lora": "LORA", "dora": "LORA", "qlora": "LORA", "ia3": "IA3",
         "prefix": "PREFIX_TUNING", "prompt": "PROMPT_TUNING"}  # fmt: skip
METHOD = "method"  # in the metadata
PROMPT = "prompt_embeddings"
LORA = {"a": "lora_A.weight", "b": "lora_B.weight"}
DORA = {**LORA, "magnitude": "lora_magnitude_vector"}
IA3 = {"scale": "ia3_l"}


def save_adapter(folder: Path, adapted: AdaptedModel, *, base: str = "") -> None:
    """Write an adapter, not its base. Both files are there whole, or as they were before.

    Args:
        folder: is made where it is missing.
        adapted: the model with the adapter.
        base: how the base is called, for those who read the file: a name, path or hub id.

    Raises:
        GroundupError: the folder cannot be written.
    """
    model, adapter = adapted.model, adapted.adapter
    config: dict[str, Any] = {
        "peft_type": KINDS[adapter.method],
        "task_type": "SEQ_2_SEQ_LM" if isinstance(model, T5) else "CAUSAL_LM",
        "base_model_name_or_path": base or None,
        "inference_mode": True,
    }
    if adapted.layers:
        config |= _layers_config(adapted)
        weights = {
            f"base_model.model.{_peft_name(model, name)}.{theirs}": tensor
            for name, layer in adapted.layers.items()
            for theirs, tensor in _to_peft(layer).items()
        }
    else:
        config |= _virtual_config(adapted)
        weights = {PROMPT: _virtual_weight(adapted)}
    tensors = {name: w.detach().cpu().contiguous() for name, w in weights.items()}
    metadata = {"format": "pt", BASE_DIGEST: adapted.base_digest, METHOD: adapter.method}
    file = folder / "adapter_model.safetensors"
    temporary = folder / f".{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata=metadata)
        temporary.replace(file)
        write_text(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise GroundupError(f"cannot write the adapter to {folder}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_adapter(folder: Path, model: GPT2 | Llama | T5) -> AdaptedModel:
    """Put a saved adapter into its base, ours or one that `peft` saved.

    One that was trained by QLoRA quantises its base as it was there.

    Raises:
        GroundupError: a file is missing or damaged; the adapter is of a kind or for a model that
            is not supported; or it was trained on another base.
    """
    config, path = read_peft_config(folder), folder / "adapter_config.json"
    kind = config.get("peft_type")
    if kind not in KINDS.values():
        known = ", ".join(dict.fromkeys(KINDS.values()))
        raise GroundupError(f"{path} has peft_type {kind!r}: expected one of {known}")
    weights, metadata = read_peft_weights(folder)
    check_base(folder, metadata, model)
    if kind in ("PREFIX_TUNING", "PROMPT_TUNING"):
        return _load_virtual(config, weights, model, path)
    names = {f"base_model.model.{_peft_name(model, n)}": n for n in linear_layers(model)}
    parts: dict[str, dict[str, Tensor]] = {}
    entries = IA3 if kind == "IA3" else DORA
    for full, weight in weights.items():
        theirs = next((t for t in entries.values() if full.endswith(f".{t}")), None)
        name = None if theirs is None else names.get(full.removesuffix(f".{theirs}"))
        if name is None or theirs is None:
            raise GroundupError(
                f"{folder} holds {full}, to which nothing in this model corresponds: expected "
                f"{', '.join(entries.values())} of this {type(model).__name__}'s linear layers"
            )
        parts.setdefault(name, {})[theirs] = weight
    adapter, makers = _makers(config, metadata, model, parts, path)
    adapted = adapt_layers(model, adapter, makers)
    for name, layer in adapted.layers.items():
        given = {theirs: tuple(tensor.shape) for theirs, tensor in parts[name].items()}
        expected = {theirs: tuple(tensor.shape) for theirs, tensor in _to_peft(layer).items()}
        if given != expected:
            raise GroundupError(
                f"{folder} changes {name} by tensors of shapes {given}, expected {expected} for "
                f"this model and the rank in {path.name}: it was trained for another model"
            )
        for ours, theirs in _parts(layer).items():
            parameter = layer.get_parameter(ours)
            parameter.data.copy_(parts[name][theirs].view(parameter.shape))
    return adapted


def _makers(
    config: dict[str, Any],
    metadata: dict[str, str],
    model: nn.Module,
    parts: dict[str, dict[str, Tensor]],
    path: Path,
) -> tuple[AdapterConfig, dict[str, Callable[[Linear], AdaptedLinear]]]:
    """What the configuration of a LoRA or an (IA)³ says of the layers that have weights."""
    if config["peft_type"] == "IA3":
        rows = {name: len(tensors[IA3["scale"]]) == 1 for name, tensors in parts.items()}
        return AdapterConfig("ia3"), {n: partial(Ia3Linear, inputs=row) for n, row in rows.items()}
    check_lora(config, path, ("use_dora", "fan_in_fan_out"), "low-rank matrices, with or without "
               "DoRA, and no biases, modules or tokens trained as a whole")  # fmt: skip
    adapter = AdapterConfig(
        metadata.get(METHOD, "dora" if config.get("use_dora") else "lora"),  # type: ignore[arg-type]
        rank=config.get("r", 8),
        alpha=config.get("lora_alpha", 8),
        dropout=config.get("lora_dropout") or 0.0,
        rank_stabilized=bool(config.get("use_rslora")),
    )
    makers: dict[str, Callable[[Linear], AdaptedLinear]] = {}
    for name in parts:
        rank, scaling = rank_and_scaling(config, _peft_name(model, name), path)
        makers[name] = partial(low_rank, config=adapter, rank=rank, scaling=scaling)
    return adapter, makers


def _peft_name(model: nn.Module, name: str) -> str:
    """A layer's name in `transformers`."""
    if isinstance(model, T5):
        (theirs,) = rename_t5({f"{name}.": Tensor()}, theirs=False)
        return theirs.removesuffix(".")
    return f"transformer.{name}" if isinstance(model, GPT2) else f"model.{name}"


def _parts(layer: AdaptedLinear) -> Mapping[str, str]:
    """The layer's parameters, and what PEFT calls them."""
    if isinstance(layer, Ia3Linear):
        return IA3
    return DORA if isinstance(layer, DoraLinear) else LORA


def _to_peft(layer: AdaptedLinear) -> dict[str, Tensor]:
    if isinstance(layer, Ia3Linear):  # a row for inputs, a column for outputs
        return {IA3["scale"]: layer.scale.view((1, -1) if layer.inputs else (-1, 1))}
    return {theirs: layer.get_parameter(ours) for ours, theirs in _parts(layer).items()}


def _layers_config(adapted: AdaptedModel) -> dict[str, Any]:
    model, adapter = adapted.model, adapted.adapter
    names = {_peft_name(model, name): layer for name, layer in adapted.layers.items()}
    entries: dict[str, Any] = {
        "target_modules": sorted(names),
        "fan_in_fan_out": isinstance(model, GPT2),  # matrices lie transposed there
    }
    if adapter.method == "ia3":
        entries["feedforward_modules"] = sorted(
            name for name, layer in names.items() if isinstance(layer, Ia3Linear) and layer.inputs
        )
        return entries
    ranks, alphas = {}, {}
    for name, layer in names.items():
        assert isinstance(layer, LoraLinear)
        alpha = layer.scaling * (layer.rank**0.5 if adapter.rank_stabilized else layer.rank)
        if layer.rank != adapter.rank:
            ranks[name] = layer.rank
        if abs(alpha - adapter.alpha) > 1e-9 * abs(adapter.alpha):
            alphas[name] = alpha
    return entries | {
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "use_rslora": adapter.rank_stabilized,
        "use_dora": adapter.method == "dora",
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "bias": "none",
    }


def _virtual_weight(adapted: AdaptedModel) -> Tensor:
    """What is trained of a prefix or a prompt."""
    if adapted.prefix is not None:
        return adapted.prefix.weight
    assert adapted.prompt is not None
    return adapted.prompt.prompt


def _virtual_config(adapted: AdaptedModel) -> dict[str, Any]:
    model = adapted.model
    shape = model.config
    prefix = adapted.prefix is not None
    heads = shape.kv_heads if prefix else shape.heads
    entries = {
        "num_virtual_tokens": adapted.adapter.virtual_tokens,
        "num_layers": shape.layers,
        "num_attention_heads": heads,
        "token_dim": heads * shape.head_dim if prefix else shape.dim,
        # PEFT counts an encoder and a decoder, but puts a prompt before the encoder's text alone.
        "num_transformer_submodules": 2 if prefix and isinstance(model, T5) else 1,
    }
    own = {"prefix_projection": False} if prefix else {"prompt_tuning_init": "RANDOM"}
    return entries | own


def _load_virtual(
    config: dict[str, Any], weights: dict[str, Tensor], model: GPT2 | Llama | T5, path: Path
) -> AdaptedModel:
    tokens = config.get("num_virtual_tokens")
    if not isinstance(tokens, int) or set(weights) != {PROMPT}:
        raise GroundupError(
            f"{path} has num_virtual_tokens {tokens!r}, and the weights are {sorted(weights)}: "
            f"expected a number, and {PROMPT} alone"
        )
    method: Method = "prefix" if config["peft_type"] == "PREFIX_TUNING" else "prompt"
    adapted = adapt(model, AdapterConfig(method, virtual_tokens=tokens))
    ours = _virtual_weight(adapted)
    # An encoder-decoder's prompt has rows for its decoder as well, which PEFT does not use.
    theirs = weights[PROMPT][:tokens]
    if theirs.shape != ours.shape:
        raise GroundupError(
            f"{path.parent} holds {PROMPT} of shape {tuple(theirs.shape)}, expected "
            f"{tuple(ours.shape)} for this model: it was trained for another one"
        )
    ours.data.copy_(theirs)
    return adapted
