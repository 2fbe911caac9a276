"""The layers of the original transformer, and BERT's: the norm stands after the addition."""

from torch import Tensor, nn

from groundup.models.activations import activation_named
from groundup.models.language_model import Cache
from groundup.models.linear import Linear
from groundup.models.multi_head_attention import MultiHeadAttention

__all__ = ["DecoderLayer", "EncoderLayer"]


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward: x = norm(x + dropout(sublayer(x))) for each.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.1.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        heads: int,
        *,
        dropout: float,
        activation: str = "relu",
        norm_eps: float = 1e-5,
    ) -> None:
        """Make the layer.

        Args:
            dim: C, a multiple of heads.
            hidden_dim: of the feed-forward layer.
            heads: of the attention.
            dropout: of what each sublayer gives, in training, before it is added.
            activation: of the feed-forward layer, a name of `ACTIVATIONS`.
            norm_eps: of both norms.

        ``self_attn`` is `MultiHeadAttention`, ``self_attn_layer_norm`` the norm after it; ``fc1``
        (C to hidden_dim), the activation and ``fc2`` (back) are the feed-forward layer, and
        ``final_layer_norm`` is the norm after that.

        Raises:
            ValueError: there is no such activation, or dim is not a multiple of heads.
        """
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim, norm_eps)
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim, norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation_named(activation)

    def forward(self, x: Tensor, score_bias: Tensor | None = None) -> Tensor:
        """``x`` (B, T, C) to (B, T, C); ``score_bias`` as `MultiHeadAttention` takes it."""
        attended = self.self_attn(x, *self.self_attn.keys_values(x), score_bias)
        return self._feed_forward(self.self_attn_layer_norm(x + self.dropout(attended)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        widened = self.activation(self.fc1(x))
        out: Tensor = self.final_layer_norm(x + self.dropout(self.fc2(widened)))
        return out


class DecoderLayer(EncoderLayer):
    """As the encoder's layer, with attention over the encoder's output in between."""

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        heads: int,
        layer: int,
        *,
        dropout: float,
        activation: str = "relu",
    ) -> None:
        """Make the layer: the encoder's, with ``encoder_attn`` and ``encoder_attn_layer_norm``.

        Args:
            layer: its index, under which a cache knows it.
            others: as `EncoderLayer` has them; the norms' eps are its default.
        """
        super().__init__(dim, hidden_dim, heads, dropout=dropout, activation=activation)
        self.layer = layer
        self.encoder_attn = MultiHeadAttention(dim, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(dim)

    def decode(
        self,
        x: Tensor,
        score_bias: Tensor | None,
        memory: tuple[Tensor, Tensor],
        memory_bias: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        """Self-attention, attention over the encoder's output, feed-forward: a norm after each.

        Args:
            x: shape (B, T, C).
            score_bias: of the attention over the decoder's own positions.
            memory: the encoder's keys and values, from ``encoder_attn.keys_values``.
            memory_bias: of the attention over them.
            cache: holds the keys and values of earlier positions, and takes up those of x.

        Returns:
            Shape (B, T, C).
        """
        k, v = self.self_attn.keys_values(x)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, k, v, score_bias)))
        attended = self.encoder_attn(x, *memory, memory_bias)
        return self._feed_forward(self.encoder_attn_layer_norm(x + self.dropout(attended)))
