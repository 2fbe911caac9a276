"""Self-attention with several heads, out of simpler operations."""

import math

import numpy as np

from groundup.scratch.linear import Linear
from groundup.scratch.module import Module
from groundup.scratch.softmax import softmax
from groundup.scratch.tensor import Tensor

__all__ = ["SelfAttention"]


class SelfAttention(Module):
    """Each position asks all of a sequence, or with ``causal`` those up to itself.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.
    """

    def __init__(
        self, features: int, heads: int, *, rng: np.random.Generator, causal: bool = False
    ) -> None:
        """Make the layer.

        Args:
            features: C.
            heads: H; head h has the D = C / H features h * D and those that follow.
            rng: draws the weights.
            causal: whether a position asks those up to itself alone.

        ``qkv``, a `Linear` layer from C to 3 C, gives all queries, then all keys, then all values;
        ``out``, from C to C, projects the heads' answers back.

        Raises:
            ValueError: features is not a multiple of heads, or heads is not positive.
        """
        if heads < 1 or features % heads:
            raise ValueError(f"features ({features}) must be a multiple of heads ({heads})")
        self.qkv = Linear(features, 3 * features, rng=rng)
        self.out = Linear(features, features, rng=rng)
        self.heads = heads
        self.causal = causal

    def __call__(self, x: Tensor) -> Tensor:
        """Attend: softmax(q @ k^T / sqrt(D)) @ v in each head, the answers side by side.

        Args:
            x: shape (B, T, C).

        Returns:
            Shape (B, T, C).
        """
        B, T, C = x.shape
        D = C // self.heads
        split = self.qkv(x).reshape(B, T, 3, self.heads, D).transpose(2, 0, 3, 1, 4)
        q, k, v = split[0], split[1], split[2]  # (B, H, T, D)
        scores = q @ k.transpose(0, 1, 3, 2) * (1 / math.sqrt(D))  # (B, H, T, T)
        if self.causal:
            later = np.triu(np.full((T, T), -np.inf, x.dtype), k=1)
            scores = scores + later
        mixed = (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
        return self.out(mixed)
