"""Prefix tuning: every layer attends to trained keys and values before the text."""

import torch
from torch import Tensor, nn

from groundup.models.language_model import Cache

__all__ = ["Prefix"]


class Prefix(nn.Module):
    """Keys and values of V virtual positions, for each layer of a decoder.

    They are what a cache would hold of V tokens, and are given to the model as one: the text's
    positions begin at V.

    Source: Li and Liang 2021, "Prefix-tuning", section 4.2, without the network that makes the
    prefix in training there; section 7.4 for a beginning from the model's own keys and values.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, tokens: int, *, doubled: bool = False
    ) -> None:
        """Make the prefix, of zeros.

        Args:
            layers, kv_heads, head_dim: the decoder's shape.
            tokens: V.
            doubled: take the places in ``weight`` that PEFT takes in an encoder-decoder.

        The parameter ``weight`` has shape (V, 2 * layers * H_kv * D): for each position its rows of
        all heads' features, a layer's key before its value. An encoder-decoder has twice as many
        rows in PEFT, the same ones again: a layer takes four, and uses the first two of them for
        its self-attention. So layers half the depth apart share theirs, where that is even.
        """
        super().__init__()
        self.layers, self.tokens, self.doubled = layers, tokens, doubled
        self.shape = (tokens, 2 * layers, kv_heads, head_dim)
        self.weight = nn.Parameter(torch.zeros(tokens, 2 * layers * kv_heads * head_dim))

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, each (H_kv, V, D)."""
        rows = self.weight.view(self.shape).permute(1, 2, 0, 3)  # (2 * layers, H_kv, V, D)
        first = 4 * layer % (2 * self.layers) if self.doubled else 2 * layer
        return rows[first], rows[first + 1]

    @torch.no_grad()
    def begin_with(self, recorded: list[tuple[Tensor, Tensor]]) -> None:
        """Take over each layer's keys and values (1, H_kv, V, D) of V real tokens."""
        for layer, (k, v) in enumerate(recorded):
            own_k, own_v = self.keys_values(layer)
            own_k.copy_(k[0])
            own_v.copy_(v[0])

    def cache(self, cache: Cache | None, batch: int, dtype: torch.dtype) -> Cache:
        """What the model is given in place of an empty cache, which takes up the prefix.

        None: training, in which nothing is kept of the text itself. What comes back then always
        has the length V; what is written to it comes back behind the prefix, in its dtype, and
        gradients flow to ``weight``.
        """
        if cache is None:
            return _PrefixAlone(self, batch, dtype)
        for layer in range(self.layers):
            cache.write(layer, *self._rows(layer, batch, dtype))
        cache.advance(self.tokens)
        return cache

    def _rows(self, layer: int, batch: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        k, v = self.keys_values(layer)
        return k.to(dtype).expand(batch, -1, -1, -1), v.to(dtype).expand(batch, -1, -1, -1)


class _PrefixAlone:
    """A cache that holds a prefix, through which gradients flow, and keeps nothing."""

    def __init__(self, prefix: Prefix, batch: int, dtype: torch.dtype) -> None:
        self.prefix, self.batch, self.dtype = prefix, batch, dtype

    @property
    def length(self) -> int:
        return self.prefix.tokens

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        own_k, own_v = self.prefix._rows(layer, self.batch, k.dtype)
        return torch.cat((own_k, k), dim=2), torch.cat((own_v.to(v.dtype), v), dim=2)

    def advance(self, tokens: int) -> None:
        pass
