"""Torch's own transformer layers, with the weights of ``groundup.models.transformer_layers``."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["decoder_layer", "encoder_layer", "layer_shapes"]

Weights = Mapping[str, Tensor]

# Torch's names of what has a weight and a bias, and ours.
ENCODER = {
    "self_attn.out_proj": "self_attn.out_proj",
    "norm1": "self_attn_layer_norm",
    "linear1": "fc1",
    "linear2": "fc2",
    "norm2": "final_layer_norm",
}
DECODER = ENCODER | {
    "multihead_attn.out_proj": "encoder_attn.out_proj",
    "norm2": "encoder_attn_layer_norm",
    "norm3": "final_layer_norm",
}


def layer_shapes(dim: int, hidden_dim: int, *, decoder: bool = False) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of an encoder's or a decoder's layer, by its name."""
    matrices = {"fc1": (hidden_dim, dim), "fc2": (dim, hidden_dim)}
    norms = ["self_attn_layer_norm", "final_layer_norm"]
    for attention in ("self_attn", "encoder_attn") if decoder else ("self_attn",):
        for name in "q", "k", "v", "out":
            matrices[f"{attention}.{name}_proj"] = (dim, dim)
    if decoder:
        norms.append("encoder_attn_layer_norm")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in (matrices | dict.fromkeys(norms, (dim, dim))).items():
        shapes[f"{name}.weight"] = shape[:1] if name in norms else shape
        shapes[f"{name}.bias"] = shape[:1]
    return shapes


def encoder_layer(
    x: Tensor,
    weights: Weights,
    heads: int,
    *,
    mask: Tensor | None = None,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Tensor:
    """The layer's output for ``x`` (B, T, C); ``mask`` (B, T) is False at padding."""
    sizes = (x.shape[-1], heads, len(weights["fc1.bias"]))
    layer = nn.TransformerEncoderLayer(
        *sizes, dropout=0.0, activation=activation, layer_norm_eps=eps, batch_first=True
    )
    hidden = {"src_mask": _hidden(mask, heads, x.shape[1])}
    out: Tensor = functional_call(layer, _named(weights, ENCODER), (x,), hidden)
    return out


def decoder_layer(
    x: Tensor,
    encoded: Tensor,
    weights: Weights,
    heads: int,
    *,
    mask: Tensor | None = None,
    activation: str = "relu",
) -> Tensor:
    """The layer's output for ``x`` (B, T, C), which is causal; ``mask`` is the source's."""
    sizes = (x.shape[-1], heads, len(weights["fc1.bias"]))
    layer = nn.TransformerDecoderLayer(*sizes, dropout=0.0, activation=activation, batch_first=True)
    hidden = {
        "tgt_mask": torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1),
        "memory_mask": _hidden(mask, heads, x.shape[1]),
    }
    out: Tensor = functional_call(layer, _named(weights, DECODER), (x, encoded), hidden)
    return out


def _hidden(mask: Tensor | None, heads: int, queries: int) -> Tensor | None:
    """(B * H, T, S), True where a query may not look: torch imports SymPy for a mask of padding."""
    return (
        None if mask is None else ~mask.repeat_interleave(heads, 0)[:, None].repeat(1, queries, 1)
    )


def _named(weights: Weights, names: Mapping[str, str]) -> dict[str, Tensor]:
    found = {
        f"{torchs}.{kind}": weights[f"{ours}.{kind}"]
        for torchs, ours in names.items()
        for kind in ("weight", "bias")
    }
    attentions = {name.partition(".")[0]: ours.partition(".")[0] for name, ours in names.items()
                  if name.endswith("out_proj")}  # fmt: skip
    for torchs, ours in attentions.items():
        for kind in ("weight", "bias"):
            three = [weights[f"{ours}.{i}_proj.{kind}"] for i in "qkv"]
            found[f"{torchs}.in_proj_{kind}"] = torch.cat(three)
    return found
