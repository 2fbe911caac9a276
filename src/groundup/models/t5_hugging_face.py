"""T5 in Hugging Face's layout: loaded from a folder and saved to one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.from_state import model_from_state
from groundup.models.hugging_face_folder import read_config, read_weights, rename, write_folder
from groundup.models.t5 import T5, T5Config

__all__ = ["rename_t5", "t5_from_hugging_face", "t5_to_hugging_face"]

STACK = [
    ("position_bias.embedding", "block.0.layer.0.SelfAttention.relative_attention_bias"),
    ("coder.norm", "coder.final_layer_norm"),
    ("layers.", "block."),
    ("self_attn_norm", "layer.0.layer_norm"),
    ("self_attn", "layer.0.SelfAttention"),
    (".q_proj.", ".q."),
    (".k_proj.", ".k."),
    (".v_proj.", ".v."),
    (".out_proj.", ".o."),
]
ENCODER = [("mlp_norm", "layer.1.layer_norm"), ("mlp.", "layer.1.DenseReluDense."), *STACK]
DECODER = [
    ("cross_attn_norm", "layer.1.layer_norm"),
    ("cross_attn", "layer.1.EncDecAttention"),
    ("mlp_norm", "layer.2.layer_norm"),
    ("mlp.", "layer.2.DenseReluDense."),
    *STACK,
]
COPIES = ("coder.embed_tokens.weight",)  # in older files


def t5_from_hugging_face(folder: Path, dtype: torch.dtype = torch.float32) -> T5:
    """The model of a folder, its matrices in ``dtype``, on the CPU; it can be trained further.

    Raises:
        GroundupError: a file is missing or damaged, or the configuration is not one of ours.
    """
    entries = read_config(folder, "t5")
    path = folder / "config.json"
    weights = {
        name: weight.to(torch.float32 if weight.ndim == 1 or "relative" in name else dtype)
        for name, weight in read_weights(folder).items()
        if not name.endswith(COPIES)
    }
    try:
        forms = {"relu": False, "gated-gelu": True}
        form = entries.get("feed_forward_proj", "relu")
        if form not in forms:
            raise ValueError(f"feed_forward_proj is {form!r}: expected relu or gated-gelu")
        # Whether outputs are scaled says it; files of older versions do not have the entry.
        tied = entries.get("scale_decoder_outputs", entries.get("tie_word_embeddings", True))
        config = T5Config(
            vocabulary=entries["vocab_size"],
            dim=entries["d_model"],
            hidden_dim=entries["d_ff"],
            head_dim=entries["d_kv"],
            heads=entries["num_heads"],
            encoder_layers=entries["num_layers"],
            layers=entries.get("num_decoder_layers") or entries["num_layers"],
            buckets=entries["relative_attention_num_buckets"],
            max_distance=entries.get("relative_attention_max_distance", 128),
            dropout=entries["dropout_rate"],
            norm_eps=entries["layer_norm_epsilon"],
            gated=forms[form],
            tied_embeddings=tied,
            start_id=entries.get("decoder_start_token_id", entries["pad_token_id"]) or 0,
            eos_id=entries["eos_token_id"],
        )
        if tied:
            weights.pop("lm_head.weight", None)
        state = rename_t5(weights, theirs=True)
        return model_from_state(lambda: T5(config), state, folder)
    except KeyError as error:
        raise GroundupError(f"{path} lacks the entry {error}") from None
    except ValueError as error:
        raise GroundupError(f"{path}: {error}") from None


def t5_to_hugging_face(model: T5, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``, which `transformers` reads as well.

    Raises:
        GroundupError: the folder cannot be written.
    """
    config = model.config
    state = dict(model.state_dict())
    if config.tied_embeddings:
        del state["lm_head.weight"]
    entries = {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary,
        "d_model": config.dim,
        "d_ff": config.hidden_dim,
        "d_kv": config.head_dim,
        "num_heads": config.heads,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.layers,
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.max_distance,
        "dropout_rate": config.dropout,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": "gated-gelu" if config.gated else "relu",
        "tie_word_embeddings": config.tied_embeddings,
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.start_id,
        "eos_token_id": config.eos_id,
        "dtype": str(model.shared.weight.dtype).removeprefix("torch."),
    }
    write_folder(folder, entries, rename_t5(state, theirs=False))


def rename_t5(state: Mapping[str, Tensor], *, theirs: bool) -> dict[str, Tensor]:
    """Of ``theirs`` names ours, or the other way round."""
    renamed = {n: w for n, w in state.items() if not n.startswith(("encoder.", "decoder."))}
    for side, pairs in (("encoder.", ENCODER), ("decoder.", DECODER)):
        own = {name: weight for name, weight in state.items() if name.startswith(side)}
        renamed |= rename(own, [(b, a) for a, b in pairs] if theirs else pairs)
    return renamed
