"""What generation and training need of a decoder-only model, whatever its family."""

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Attend", "Cache", "LanguageModel", "Shape"]


class Attend(Protocol):
    """Causal attention of (B, H, T, D) queries over (B, H_kv, S, D) keys and values.

    `groundup.models.attention` is one; `fused_attention` and `flash_attention` are others.
    """

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor: ...


class Cache(Protocol):
    """What a model needs of a key-value cache; `groundup.engine.kv_cache` has one."""

    @property
    def length(self) -> int: ...
    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]: ...
    def advance(self, tokens: int) -> None: ...


class Shape(Protocol):
    """What a cache is made from."""

    @property
    def layers(self) -> int: ...
    @property
    def kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def context(self) -> int: ...


class LanguageModel(Protocol):
    """A decoder-only model."""

    @property
    def config(self) -> Shape: ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the values between layers, and so of a cache's keys and values."""

    @property
    def device(self) -> torch.device: ...

    def hidden(
        self, ids: Tensor, cache: Cache | None = None, *, outputs: int | None = None
    ) -> Tensor:
        """Token ids (B, T) to the last layer's output for the last ``outputs`` positions."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token."""

    def __call__(self, ids: Tensor, cache: Cache | None = None) -> Tensor: ...
