"""T5: an encoder-decoder with relative positions, norms before each sublayer, and no biases."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.models.encoder_decoder import Memory
from groundup.models.language_model import Cache
from groundup.models.linear import Linear
from groundup.models.multi_head_attention import MultiHeadAttention, causal_bias, padding_bias
from groundup.models.relative_position_bias import RelativePositionBias
from groundup.models.rms_norm import RMSNorm

__all__ = ["T5", "T5Config"]


@dataclass(frozen=True)
class T5Config:
    """The shape of a model; the defaults are those of the published small one.

    Version 1.1, and all models that were made from it, have ``gated`` layers and an output layer of
    their own.

    Raises:
        ValueError: dropout is not from 0 to below 1.
    """

    vocabulary: int = 32128
    dim: int = 512
    hidden_dim: int = 2048
    head_dim: int = 64
    heads: int = 8
    encoder_layers: int = 6
    layers: int = 6  # of the decoder
    buckets: int = 32  # of distances
    max_distance: int = 128  # from here on all distances share a bucket
    dropout: float = 0.1
    norm_eps: float = 1e-6
    gated: bool = False  # the feed-forward layers: a gated GELU instead of a rectifier
    tied_embeddings: bool = True  # the output layer is the embedding matrix, scaled by dim ** -0.5
    start_id: int = 0
    eos_id: int = 1
    context: int = 4096  # a limit for caches: relative positions have none

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}")

    @property
    def kv_heads(self) -> int:
        """Every query head has keys and values of its own."""
        return self.heads


class T5FeedForward(nn.Module):
    """``wo(relu(wi(x)))``, or gated: ``wo(gelu(wi_0(x)) * wi_1(x))``.

    The GELU is the approximation by tanh. What ``wo`` reads passes the dropout.
    """

    def __init__(self, config: T5Config) -> None:
        """Make ``wi``, or with ``config.gated`` ``wi_0`` and ``wi_1``, and ``wo``: no biases."""
        super().__init__()
        self.gated = config.gated
        if config.gated:
            self.wi_0 = Linear(config.dim, config.hidden_dim, bias=False)
            self.wi_1 = Linear(config.dim, config.hidden_dim, bias=False)
        else:
            self.wi = Linear(config.dim, config.hidden_dim, bias=False)
        self.wo = Linear(config.hidden_dim, config.dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., C) to (..., C)."""
        if self.gated:
            hidden = F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x)
        else:
            hidden = F.relu(self.wi(x))
        out: Tensor = self.wo(self.dropout(hidden))
        return out


class T5Layer(nn.Module):
    """Self-attention, in a decoder cross-attention, and feed-forward, each on a normalised input
    and added to the residual stream."""

    def __init__(self, config: T5Config, layer: int, kind: Literal["encoder", "decoder"]) -> None:
        """Make the layer; ``layer`` is its index, under which a cache knows it.

        ``self_attn``, ``cross_attn`` (`MultiHeadAttention` without bias and with a scale of 1) and
        ``mlp`` (`T5FeedForward`) have each an RMSNorm before them: ``self_attn_norm``,
        ``cross_attn_norm``, ``mlp_norm``. In an encoder both of the middle ones are None. What a
        sublayer gives passes the dropout before it is added.
        """
        super().__init__()
        self.layer = layer
        self.self_attn_norm = RMSNorm(config.dim, config.norm_eps)
        self.self_attn = self._attention(config)
        self.cross_attn_norm: RMSNorm | None = None
        self.cross_attn: MultiHeadAttention | None = None
        if kind == "decoder":
            self.cross_attn_norm = RMSNorm(config.dim, config.norm_eps)
            self.cross_attn = self._attention(config)
        self.mlp_norm = RMSNorm(config.dim, config.norm_eps)
        self.mlp = T5FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    @staticmethod
    def _attention(config: T5Config) -> MultiHeadAttention:
        # The initial weights take the place of the scale: see `T5`.
        return MultiHeadAttention(
            config.dim, config.heads, head_dim=config.head_dim, bias=False, scale=1.0
        )

    def forward(
        self,
        x: Tensor,
        score_bias: Tensor,
        memory: tuple[Tensor, Tensor] | None = None,
        memory_bias: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """One pass.

        Args:
            x: shape (B, T, C).
            score_bias: of the attention over the own positions, distances and masks together.
            memory: the encoder's keys and values, from ``cross_attn.keys_values``; in a decoder.
            memory_bias: of the attention over them.
            cache: holds the keys and values of earlier positions, and takes up those of x.

        Returns:
            Shape (B, T, C).
        """
        normalised = self.self_attn_norm(x)
        k, v = self.self_attn.keys_values(normalised)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        x = x + self.dropout(self.self_attn(normalised, k, v, score_bias))
        if self.cross_attn_norm is not None and self.cross_attn is not None:
            assert memory is not None
            attended = self.cross_attn(self.cross_attn_norm(x), *memory, memory_bias)
            x = x + self.dropout(attended)
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return out


class T5Stack(nn.Module):
    """The encoder or the decoder: layers that share one table of relative positions."""

    def __init__(self, config: T5Config, kind: Literal["encoder", "decoder"]) -> None:
        """Make ``position_bias``, which sees both directions in the encoder alone; ``layers``; a
        last ``norm``; ``dropout``, through which the embeddings and the last norm's output pass."""
        super().__init__()
        count = config.encoder_layers if kind == "encoder" else config.layers
        self.position_bias = RelativePositionBias(
            config.heads,
            bidirectional=kind == "encoder",
            buckets=config.buckets,
            max_distance=config.max_distance,
        )
        self.layers = nn.ModuleList(T5Layer(config, layer, kind) for layer in range(count))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)


class T5(nn.Module):
    """The text-to-text transformer, both published kinds (see `T5Config`).

    ``shared`` embeds source and target, ``encoder`` and ``decoder`` are `T5Stack`, ``lm_head`` is
    the output layer. Scores are not divided by sqrt(D): the queries' initial weights are that much
    smaller instead.

    Source: Raffel et al. 2019, "Exploring the limits of transfer learning", section 2.1;
    Shazeer 2020, "GLU variants improve transformer", for the gated layers.
    """

    def __init__(self, config: T5Config) -> None:
        """Make the model with random weights, of the authors' deviations.

        Embeddings and output layer are drawn with standard deviation 1, all other matrices with
        one over the root of their inputs; the queries' of dim * head_dim, the table of positions of
        dim.
        """
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocabulary, config.dim)
        self.encoder = T5Stack(config, "encoder")
        self.decoder = T5Stack(config, "decoder")
        self.lm_head = Linear(config.dim, config.vocabulary, bias=False)
        if config.tied_embeddings:
            self.lm_head.weight = self.shared.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                fan_in = config.dim if "position_bias" in name else parameter.shape[1]
                if name.endswith("q_proj.weight"):
                    fan_in *= config.head_dim
                std = 1.0 if name in ("shared.weight", "lm_head.weight") else fan_in**-0.5
                nn.init.normal_(parameter, std=std)

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""
        return self.encoder.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.shared.weight.device

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Read the source.

        Args:
            ids: token ids, shape (B, S).
            mask: shape (B, S), bool: False at padding. None: there is none.

        Returns:
            Shape (B, S, C). What stands at padding means nothing.
        """
        stack, S = self.encoder, ids.shape[1]
        bias = stack.position_bias(S, S)
        if mask is not None:
            bias = bias + padding_bias(mask, bias.dtype)
        x = stack.dropout(self.shared(ids))
        for layer in stack.layers:
            x = layer(x, bias)
        out: Tensor = stack.dropout(stack.norm(x))
        return out

    def remember(self, encoded: Tensor) -> Memory:
        """Each decoder layer's keys and values of the encoder's output (B, S, C)."""
        attentions = [layer.cross_attn for layer in self.decoder.layers]
        return [a.keys_values(encoded) for a in attentions if isinstance(a, MultiHeadAttention)]

    def decode(
        self,
        ids: Tensor,
        memory: Memory,
        mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Read target tokens, each of which sees the source and the targets up to itself.

        Args:
            ids: token ids, shape (B, T).
            memory: from `remember`.
            mask: the source's, as in `encode`.
            cache: the ids continue the positions that it holds, and it takes up theirs.

        Returns:
            The last layer's normalised output, shape (B, T, C).
        """
        stack, T = self.decoder, ids.shape[1]
        S = T + (0 if cache is None else cache.length)
        own = stack.position_bias(T, S) + causal_bias(T, S, self.dtype, self.device)
        bias = None if mask is None else padding_bias(mask, self.dtype)
        x = stack.dropout(self.shared(ids))
        for layer, remembered in zip(stack.layers, memory, strict=True):
            x = layer(x, own, remembered, bias, cache)
        if cache is not None:
            cache.advance(T)
        out: Tensor = stack.dropout(stack.norm(x))
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token for hidden states (B, T, C); returns (B, T, vocabulary)."""
        if self.config.tied_embeddings:
            hidden = hidden * self.config.dim**-0.5
        scores: Tensor = self.lm_head(hidden)
        return scores

    def forward(self, ids: Tensor, target_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, T, vocabulary) for source ids (B, S) and target ids (B, T), in training.

        The target begins with ``config.start_id``. Its padding stands at its end, where no earlier
        position sees it: leave it out of the loss.
        """
        memory = self.remember(self.encode(ids, mask))
        return self.logits(self.decode(target_ids, memory, mask))
