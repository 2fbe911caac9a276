"""What generation needs of an encoder-decoder model, whatever its family."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from groundup.models.language_model import Cache, Shape

__all__ = ["EncoderDecoder", "EncoderDecoderShape", "Memory"]

Memory = Sequence[tuple[Tensor, Tensor]]  # each decoder layer's keys and values of the source


class EncoderDecoderShape(Shape, Protocol):
    """Its ``layers``, ``kv_heads`` and ``head_dim`` are the decoder's, as a cache needs them."""

    @property
    def start_id(self) -> int:
        """The token that the decoder begins with."""

    @property
    def eos_id(self) -> int:
        """The token that ends a text."""


class EncoderDecoder(Protocol):
    """An encoder that reads a source once, and a decoder that writes."""

    @property
    def config(self) -> EncoderDecoderShape: ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""

    @property
    def device(self) -> torch.device: ...

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Source ids (B, S) to the encoder's output (B, S, C); ``mask`` is False at padding."""

    def remember(self, encoded: Tensor) -> Memory:
        """The keys and values that cross-attention needs of it, once for all tokens to come."""

    def decode(
        self,
        ids: Tensor,
        memory: Memory,
        mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """The decoder's output (B, T, C) for target ids (B, T); ``mask`` is the source's."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token."""
