"""BERT: an encoder whose tokens see one another in both directions, and what is put on top."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.models.activations import activation_named
from groundup.models.linear import Linear
from groundup.models.multi_head_attention import padding_bias
from groundup.models.transformer_layers import EncoderLayer

__all__ = ["Bert", "BertClassifier", "BertConfig", "BertMaskedLM"]


@dataclass(frozen=True)
class BertConfig:
    """The shape of a model; the defaults are those of the published base model.

    Raises:
        ValueError: dim is not a multiple of heads, or dropout is not from 0 to below 1.
    """

    vocabulary: int = 30522
    dim: int = 768
    hidden_dim: int = 3072
    layers: int = 12
    heads: int = 12
    context: int = 512  # there is one vector for each position
    types: int = 2  # of segments: the first and the second text of a pair
    dropout: float = 0.1
    activation: str = "gelu"
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}")


class Bert(nn.Module):
    """The encoder, and the pooler over its first token.

    The vectors of a token (``embed_tokens``), of its position (``embed_positions``) and of its
    segment (``embed_types``) are added, normed (``embed_norm``) and pass the dropout. Then come the
    layers (``layers``), each an `EncoderLayer`. ``pooler`` is a `Linear` from C to C.

    Source: Devlin et al. 2018, "BERT", section 3; the layers are those of the original transformer
    with GELU, the positions are learned.
    """

    def __init__(self, config: BertConfig) -> None:
        """Make the model with random weights.

        Matrices and embeddings are drawn from a normal distribution with standard deviation 0.02;
        biases start at 0, norms at 1 and 0. So they are in the models with heads below.
        """
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.dim)
        self.embed_positions = nn.Embedding(config.context, config.dim)
        self.embed_types = nn.Embedding(config.types, config.dim)
        self.embed_norm = nn.LayerNorm(config.dim, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.dim,
                config.hidden_dim,
                config.heads,
                dropout=config.dropout,
                activation=config.activation,
                norm_eps=config.norm_eps,
            )
            for _ in range(config.layers)
        )
        self.pooler = Linear(config.dim, config.dim)
        self.apply(_initialise)

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Read texts.

        Args:
            ids: token ids, shape (B, T).
            mask: shape (B, T), bool: False at padding. None: there is none.
            types: segment of each token, shape (B, T). None: all are of the first.

        Returns:
            Shape (B, T, C). What stands at padding means nothing.

        Raises:
            ValueError: T is longer than ``config.context``.
        """
        T, limit = ids.shape[1], self.config.context
        if T > limit:  # noqa: SIM300
            raise ValueError(f"{T} positions: the model has {limit}")
        positions = torch.arange(T, device=ids.device)
        segments = torch.zeros_like(ids) if types is None else types
        x: Tensor = self.embed_tokens(ids) + self.embed_positions(positions)
        x = x + self.embed_types(segments)
        x = self.dropout(self.embed_norm(x.to(self.embed_norm.weight.dtype)))
        bias = None if mask is None else padding_bias(mask, x.dtype)
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def pool(self, hidden: Tensor) -> Tensor:
        """``tanh(pooler(first token))`` of the output (B, T, C); returns (B, C)."""
        return torch.tanh(self.pooler(hidden[:, 0]))


class BertMaskedLM(nn.Module):
    """BERT with the head that it is trained with: which token stood here?

    What the encoder (``bert``) gives passes ``dense`` (C to C), the config's activation, a norm of
    the config's eps (``norm``) and ``decoder`` (C to vocabulary, with bias).
    """

    def __init__(self, config: BertConfig) -> None:
        """Make the model; the matrix of ``decoder`` is that of ``embed_tokens``: one parameter."""
        super().__init__()
        self.bert = Bert(config)
        self.dense = Linear(config.dim, config.dim)
        self.activation = activation_named(config.activation)
        self.norm = nn.LayerNorm(config.dim, config.norm_eps)
        self.decoder = Linear(config.dim, config.vocabulary)
        self.apply(_initialise)
        self.decoder.weight = self.bert.embed_tokens.weight

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Logits (B, T, vocabulary) of the token at each position; arguments as `Bert` has them."""
        hidden = self.activation(self.dense(self.bert(ids, mask, types)))
        scores: Tensor = self.decoder(self.norm(hidden))
        return scores


class BertClassifier(nn.Module):
    """BERT with a linear layer over the pooled first token: one of several labels for a text."""

    def __init__(self, config: BertConfig, labels: int = 2) -> None:
        """Make the model: ``bert``, and after a dropout ``classifier`` (C to labels).

        Raises:
            ValueError: labels is not positive.
        """
        super().__init__()
        if labels <= 0:
            raise ValueError(f"labels must be positive, got {labels}")
        self.bert = Bert(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = Linear(config.dim, labels)
        self.apply(_initialise)

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Logits (B, labels); arguments as `Bert` has them."""
        pooled = self.bert.pool(self.bert(ids, mask, types))
        scores: Tensor = self.classifier(self.dropout(pooled))
        return scores


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
