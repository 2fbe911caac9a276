"""The original transformer: an encoder reads a source, a decoder writes the target."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.models.encoder_decoder import Memory
from groundup.models.language_model import Cache
from groundup.models.linear import Linear
from groundup.models.multi_head_attention import causal_bias, padding_bias
from groundup.models.sinusoidal_positions import sinusoidal_positions
from groundup.models.transformer_layers import DecoderLayer, EncoderLayer

__all__ = ["Transformer", "TransformerConfig"]


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a model; the defaults are those of the paper's base model.

    Raises:
        ValueError: dim is odd or not a multiple of heads, or dropout is not from 0 to below 1.
    """

    vocabulary: int = 37000  # shared by source and target
    dim: int = 512
    hidden_dim: int = 2048
    encoder_layers: int = 6
    layers: int = 6  # of the decoder
    heads: int = 8
    context: int = 512  # the longest source and the longest target
    dropout: float = 0.1
    activation: str = "relu"
    start_id: int = 0
    eos_id: int = 1
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.dim % self.heads or self.dim % 2:
            raise ValueError(f"dim {self.dim} must be even and a multiple of heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}")

    @property
    def head_dim(self) -> int:
        """D, the features of one head."""
        return self.dim // self.heads

    @property
    def kv_heads(self) -> int:
        """Every query head has keys and values of its own."""
        return self.heads


class Transformer(nn.Module):
    """The encoder-decoder of 2017, with parameters under the names of Marian's in Hugging Face.

    One matrix (``shared``) embeds source and target and is the output layer (``lm_head``, section
    3.4). A token's vector, multiplied by sqrt(dim), and its position's, of sines in the first half
    and cosines in the second, are added and pass the dropout. Then come the layers: ``encoder`` and
    ``decoder`` are lists of them. The bias of the logits (``final_logits_bias``, a buffer of shape
    (1, vocabulary)) is Marian's: zeros here, and not trained.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.
    """

    final_logits_bias: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        """Make the model with random weights.

        Matrices are drawn uniformly by Xavier's rule, embeddings from a normal distribution with
        standard deviation dim ** -0.5; biases start at 0, norms at 1 and 0.
        """
        super().__init__()
        self.config = config
        shape = {"dropout": config.dropout, "activation": config.activation}
        sizes = (config.dim, config.hidden_dim, config.heads)
        self.shared = nn.Embedding(config.vocabulary, config.dim)
        self.encoder = nn.ModuleList(
            EncoderLayer(*sizes, **shape)  # type: ignore[arg-type]
            for _ in range(config.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(*sizes, layer, **shape)  # type: ignore[arg-type]
            for layer in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = Linear(config.dim, config.vocabulary, bias=False)
        self.lm_head.weight = self.shared.weight
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocabulary))
        for name, parameter in self.named_parameters():
            if name == "shared.weight":
                nn.init.normal_(parameter, std=config.dim**-0.5)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""
        return self.shared.weight.dtype

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

        Raises:
            ValueError: S is longer than ``config.context``.
        """
        bias = None if mask is None else padding_bias(mask, self.dtype)
        x = self._embed(ids, 0)
        for layer in self.encoder:
            x = layer(x, bias)
        return x

    def remember(self, encoded: Tensor) -> Memory:
        """Each decoder layer's keys and values of the encoder's output (B, S, C).

        Each is of shape (B, H, S, D). They are the same for all tokens that are written.
        """
        return [layer.encoder_attn.keys_values(encoded) for layer in self._decoder_layers()]

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
            The last layer's output, shape (B, T, C).

        Raises:
            ValueError: there are more positions than ``config.context``.
        """
        T = ids.shape[1]
        start = 0 if cache is None else cache.length
        own = causal_bias(T, start + T, self.dtype, self.device)
        bias = None if mask is None else padding_bias(mask, self.dtype)
        x = self._embed(ids, start)
        for layer, remembered in zip(self._decoder_layers(), memory, strict=True):
            x = layer.decode(x, own, remembered, bias, cache)
        if cache is not None:
            cache.advance(T)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token for hidden states (B, T, C); returns (B, T, vocabulary)."""
        scores: Tensor = self.lm_head(hidden) + self.final_logits_bias
        return scores

    def forward(self, ids: Tensor, target_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, T, vocabulary) for source ids (B, S) and target ids (B, T), in training.

        The target begins with ``config.start_id``. Its padding stands at its end, where no earlier
        position sees it: leave it out of the loss.
        """
        memory = self.remember(self.encode(ids, mask))
        return self.logits(self.decode(target_ids, memory, mask))

    def _embed(self, ids: Tensor, start: int) -> Tensor:
        stop = start + ids.shape[1]
        if stop > self.config.context:
            raise ValueError(f"{stop} positions: the model has {self.config.context}")
        positions = torch.arange(start, stop, device=ids.device)
        vectors = sinusoidal_positions(positions, self.config.dim, halves=True)
        scaled = self.shared(ids) * self.config.dim**0.5
        out: Tensor = self.dropout(scaled + vectors.to(scaled.dtype))
        return out

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]
