"""The paged key-value cache: one store of blocks for all sequences."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.models.llama import LlamaConfig

__all__ = ["BlockView", "PagedCache"]


class PagedCache:
    """Keys and values of every layer in blocks of positions; who owns which is the scheduler's."""

    def __init__(
        self, config: LlamaConfig, blocks: int, block_size: int,
        dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        shape = (config.layers, blocks, block_size, config.kv_heads, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.block_size = block_size

    def layer(self, layer: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """A layer's keys and values (blocks, block size, H_kv, D), for the CPU's kernels.

        They are the cache's own memory; of bfloat16 the bits.
        """
        keys, values = self.keys[layer], self.values[layer]
        if keys.dtype == torch.bfloat16:
            keys, values = keys.view(torch.uint16), values.view(torch.uint16)
        return keys.numpy(), values.numpy()

    def gather(self, layer: int, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the keys and values at these slots, each (slots, H_kv, D), float32."""
        return (
            self.keys[layer].flatten(0, 1)[slots].float(),
            self.values[layer].flatten(0, 1)[slots].float(),
        )

    def slots(self, blocks: Sequence[int], start: int, stop: int) -> Tensor:
        """Where positions ``start`` to ``stop`` of a sequence with these blocks are kept.

        Returns:
            Shape (stop - start,), int64: block number times block size, plus the place in it.
        """
        table = torch.tensor(blocks, dtype=torch.int64, device=self.keys.device)
        positions = torch.arange(start, stop, device=self.keys.device)
        return table[positions // self.block_size] * self.block_size + positions % self.block_size


class BlockView:
    """One sequence's part of a paged cache, in the form in which a model uses a cache."""

    def __init__(self, cache: PagedCache, blocks: Sequence[int], length: int) -> None:
        """``length`` positions are held already; the blocks have room for those to come."""
        self.length = length
        self._cache = cache
        self._blocks = blocks

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add ``k``, ``v`` (1, H_kv, T, D); returns all so far, (1, H_kv, length + T, D)."""
        stop = self.length + k.shape[2]
        slots = self._cache.slots(self._blocks, 0, stop)
        both = []
        for store, new in ((self._cache.keys, k), (self._cache.values, v)):
            rows = store[layer].flatten(0, 1)  # (positions, H_kv, D)
            rows[slots[self.length :]] = new[0].transpose(0, 1).to(rows.dtype)
            both.append(rows[slots].transpose(0, 1)[None].to(new.dtype))
        return both[0], both[1]

    def advance(self, tokens: int) -> None:
        """Count the positions that were written as held."""
        self.length += tokens
