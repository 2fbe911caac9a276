"""GPT-2: the decoder with learned positions and layer norms before each sublayer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.models.attention import attention
from groundup.models.fused_gelu import fused_gelu
from groundup.models.language_model import Attend, Cache
from groundup.models.linear import Linear

__all__ = ["GPT2", "GPT2Config"]


@dataclass(frozen=True)
class GPT2Config:
    """The shape of a model; the defaults are those of the smallest that was published."""

    vocabulary: int = 50257
    context: int = 1024  # the longest sequence, in tokens: there is one vector for each position
    dim: int = 768
    layers: int = 12
    heads: int = 12
    dropout: float = 0.0  # of the embeddings and of what each sublayer adds, in training
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocabulary", "context", "dim", "layers", "heads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
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


class GPT2Attention(nn.Module):
    """Queries, keys and values by one product, causal attention, a projection back."""

    def __init__(self, config: GPT2Config, layer: int, attend: Attend) -> None:
        """Make the sublayer: ``c_attn`` (C to 3 C) and ``c_proj`` (C to C), both with bias.

        Args:
            config: of the model.
            layer: the index of its block, 0 first, under which a cache knows it.
            attend: attends.
        """
        super().__init__()
        self.layer, self.heads, self.attend = layer, config.heads, attend
        self.c_attn = Linear(config.dim, 3 * config.dim)
        self.c_proj = Linear(config.dim, config.dim)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Attend.

        Args:
            x: shape (B, T, C).
            cache: holds the keys and values of earlier positions, and takes up those of x.

        Returns:
            Shape (B, T, C). The C features of the queries are those of head 0, then of head 1 ...
        """
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.heads, C // self.heads).transpose(1, 2)  # (B, H, T, D)
            for part in self.c_attn(x).split(C, dim=-1)
        )
        if cache is not None:
            k, v = cache.write(self.layer, k, v)  # (B, H, S, D)
        joined = self.attend(q, k, v).transpose(1, 2).reshape(B, T, C)
        out: Tensor = self.c_proj(joined)
        return out


class GPT2MLP(nn.Module):
    """Widen fourfold, bend, narrow."""

    def __init__(self, dim: int) -> None:
        """Make the sublayer: ``c_fc`` (C to 4 C) and ``c_proj`` (4 C to C), both with bias."""
        super().__init__()
        self.c_fc = Linear(dim, 4 * dim)
        self.c_proj = Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., C) to (..., C). The activation is GELU in the approximation by tanh:

        gelu(z) = z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z ** 3)))
        """
        out: Tensor = self.c_proj(fused_gelu(self.c_fc(x)))
        return out


class GPT2Block(nn.Module):
    """Attention, then feed-forward, each on a normalised input and added to the residual stream."""

    def __init__(self, config: GPT2Config, layer: int, attend: Attend) -> None:
        """Make the block: ``ln_1``, ``attn``, ``ln_2``, ``mlp``; arguments as `GPT2Attention`'s."""
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.dim, config.norm_eps)
        self.attn = GPT2Attention(config, layer, attend)
        self.ln_2 = nn.LayerNorm(config.dim, config.norm_eps)
        self.mlp = GPT2MLP(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """``x`` (B, T, C) to (B, T, C). What a sublayer gives passes the dropout, then is added."""
        x = x + self.dropout(self.attn(self.ln_1(x), cache))
        out: Tensor = x + self.dropout(self.mlp(self.ln_2(x)))
        return out


class GPT2(nn.Module):
    """A decoder-only transformer. Its parameters bear Hugging Face's names, less ``transformer.``.

    The sum of a token's vector (``wte``) and its position's (``wpe``) passes the dropout, the
    blocks (``h``) and a last norm (``ln_f``). The output layer (``lm_head``, no bias) is the matrix
    ``wte`` itself: one parameter.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3.
    """

    def __init__(self, config: GPT2Config, attend: Attend = attention) -> None:
        """Make the model with random weights, to train from.

        Args:
            config: its shape.
            attend: how it attends. `fused_attention` trains faster.

        Matrices and embeddings are drawn from a normal distribution with standard deviation 0.02;
        those that add to the residual stream, the ``c_proj``, with 0.02 / sqrt(2 * layers), so that
        the stream's variance does not grow with the depth. Biases start at 0, norms at 1 and 0.
        """
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocabulary, config.dim)
        self.wpe = nn.Embedding(config.context, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(GPT2Block(config, layer, attend) for layer in range(config.layers))
        self.ln_f = nn.LayerNorm(config.dim, config.norm_eps)
        self.lm_head = Linear(config.dim, config.vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith("c_proj.weight")
                std = 0.02 / (2 * config.layers) ** 0.5 if residual else 0.02
                nn.init.normal_(parameter, std=std)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""
        return self.ln_f.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.wte.weight.device

    def hidden(
        self, ids: Tensor, cache: Cache | None = None, *, outputs: int | None = None
    ) -> Tensor:
        """The last block's normalised output.

        Args:
            ids: token ids, shape (B, T).
            cache: the ids continue the positions that it holds, and it takes up theirs.
            outputs: how many of the last positions are returned; None is all T.

        Returns:
            Shape (B, outputs, C).

        Raises:
            ValueError: there are more positions than ``config.context``.
        """
        start = 0 if cache is None else cache.length
        T = ids.shape[1]
        if start + T > self.config.context:
            raise ValueError(f"{start + T} positions: the model has {self.config.context}")
        positions = torch.arange(start, start + T, device=ids.device)
        x = self.dropout((self.wte(ids) + self.wpe(positions)).to(self.dtype))
        for block in self.h:
            x = block(x, cache)
        if cache is not None:
            cache.advance(T)
        normalised: Tensor = self.ln_f(x if outputs is None else x[:, T - outputs :])
        return normalised

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token for hidden states (B, T, C); returns (B, T, vocabulary)."""
        scores: Tensor = self.lm_head(hidden)
        return scores

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """`logits` of `hidden`: token ids (B, T) to (B, T, vocabulary)."""
        return self.logits(self.hidden(ids, cache))
