"""Multi-head attention with its projections: of a sequence over itself, or over another."""

import torch
from torch import Tensor, nn

from groundup.models.linear import Linear

__all__ = ["MultiHeadAttention", "causal_bias", "padding_bias"]


def padding_bias(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """What is added to scores so that padding is not attended to.

    Args:
        mask: shape (B, S), bool: True where a key is a token, False where it is padding.
        dtype: of the scores.

    Returns:
        Shape (B, 1, 1, S), of ``dtype``: 0 for tokens, and for padding the dtype's lowest finite
        number. It is finite so that a sequence of nothing but padding does not become NaN.

    Raises:
        ValueError: the mask is not of shape (B, S) and bool.
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"the mask must be (B, S) and bool, got {tuple(mask.shape)}, {mask.dtype}")
    hidden = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return hidden.masked_fill(~mask, torch.finfo(dtype).min)[:, None, None]


def causal_bias(
    queries: int, keys: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Tensor:
    """What is added to scores so that no query sees a key after its own position.

    Args:
        queries: T, the queries, which are the last T of the positions.
        keys: S, the keys, at least T.
        dtype, device: of the scores.

    Returns:
        Shape (T, S): 0 where query t may see key s, which is s <= S - T + t, and minus infinity
        elsewhere.
    """
    hidden = torch.full((queries, keys), -torch.inf, dtype=dtype, device=device)
    return hidden.triu(keys - queries + 1)


class MultiHeadAttention(nn.Module):
    """Several small attentions side by side, each in a subspace of its own.

    For head h with D features, of queries from ``x`` and of keys and values from ``memory``:

        softmax(q_h @ k_h^T * scale + score_bias) @ v_h

    The heads' outputs stand beside one another and are projected back. With ``memory`` equal to
    ``x`` this is self-attention; with an encoder's output it is cross-attention, whose keys and
    values need to be computed only once for all tokens that a decoder writes.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.2.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        head_dim: int | None = None,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        """Make the layer.

        Args:
            dim: C, features of the input, the memory and the output.
            heads: H.
            head_dim: D, features of a head; None is C / H.
            bias: whether the four projections have one.
            scale: of the products; None is 1 / sqrt(D). T5 takes 1.

        The projections are ``Linear`` layers: ``q_proj``, ``k_proj`` and ``v_proj`` from C to
        H * D, ``out_proj`` from H * D to C. Head h owns the features h * D ... h * D + D - 1.

        Raises:
            ValueError: dim or heads is not positive, or dim is not a multiple of heads where
                ``head_dim`` is None.
        """
        super().__init__()
        if dim <= 0 or heads <= 0:
            raise ValueError(f"dim and heads must be positive, got {dim} and {heads}")
        if head_dim is None and dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.scale = self.head_dim**-0.5 if scale is None else scale
        width = heads * self.head_dim
        self.q_proj = Linear(dim, width, bias=bias)
        self.k_proj = Linear(dim, width, bias=bias)
        self.v_proj = Linear(dim, width, bias=bias)
        self.out_proj = Linear(width, dim, bias=bias)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what is attended to.

        Args:
            memory: shape (B, S, C).

        Returns:
            ``k, v``, each of shape (B, H, S, D).
        """
        return self._split(self.k_proj(memory)), self._split(self.v_proj(memory))

    def forward(self, x: Tensor, k: Tensor, v: Tensor, score_bias: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: what the queries are made from, shape (B, T, C).
            k, v: as `keys_values` gives them, of this or of earlier calls, shape (B, H, S, D).
            score_bias: added to the scores before the softmax, of a shape that broadcasts to
                (B, H, T, S); hides keys by minus infinity. None adds nothing.

        Returns:
            Shape (B, T, C). The inputs are not changed; gradients flow to all of them.

        Raises:
            ValueError: k and v differ in shape, or do not fit x in B, or the layer in H or D.
        """
        B, T, _ = x.shape
        if k.shape != v.shape or k.shape[:2] != (B, self.heads) or k.shape[3] != self.head_dim:
            raise ValueError(
                f"k {tuple(k.shape)} and v {tuple(v.shape)} must both be "
                f"({B}, {self.heads}, S, {self.head_dim})"
            )
        scores = self._split(self.q_proj(x)) @ k.transpose(-2, -1) * self.scale  # (B, H, T, S)
        if score_bias is not None:
            scores = scores + score_bias
        heads = torch.softmax(scores, dim=-1) @ v  # (B, H, T, D)
        out: Tensor = self.out_proj(heads.transpose(1, 2).reshape(B, T, -1))
        return out

    def _split(self, features: Tensor) -> Tensor:
        """(B, T, H * D) to (B, H, T, D)."""
        B, T, _ = features.shape
        return features.view(B, T, self.heads, self.head_dim).transpose(1, 2)
