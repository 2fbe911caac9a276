"""Many LoRA adapters in one batch: each row gets the additions of its own adapter, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine.lora_adapter import LoraAdapter
from groundup.engine.packed_matrix import Rows
from groundup.models.compiled_floats import narrow, widen
from groundup.models.linear import Linear
from groundup.models.llama import Llama

__all__ = ["SegmentedLora", "Segments"]

# The products of a forward pass, and the layers that are joined in each, in order.
PRODUCTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
TILE = 8  # rows of one adapter for which its matrices are read once


@njit(parallel=True, fastmath=True, cache=True)
def add_low_rank(
    x: Any, y: Any, rows: Any, tiles: Any, begin: Any, down: Any, up: Any, columns: Any
) -> None:
    """Add to rows of ``y`` (N, width) the low-rank products of the same rows of ``x`` (N, K).

    Each rank j of an adapter adds the number ``down[j] @ x[i]`` times a row of ``up`` to some
    columns of ``y[i]``: those of one of the layers that are joined.

    The scales of rows in 8-bit integers play no part: the addition has the same as the product.

    Args:
        x, y: in the forms of `PackedMatrix`; y is written.
        rows: numbers of rows, those of one adapter together.
        tiles: (tiles, 3): an adapter, and the part of ``rows`` to be added to, start and stop.
        begin: (adapters + 1,), the first rank of each.
        down: (ranks, K).
        up: the rows of all ranks, one after the other.
        columns: (ranks, 3): of ``y`` the first and how many, and where they begin in ``up``.
    """
    K, width = x.shape[1], y.shape[1]
    for tile in prange(tiles.shape[0]):
        adapter, start, stop = tiles[tile]
        if begin[adapter] == begin[adapter + 1]:
            continue
        T = stop - start
        wide = np.empty((T, K), np.float32)
        sums = np.zeros((T, width), np.float32)
        for t in range(T):
            for k in range(K):
                wide[t, k] = widen(x[rows[start + t], k])
        for j in range(begin[adapter], begin[adapter + 1]):
            first, count, offset = columns[j]
            row = up[offset : offset + count]  # sums of indices would keep it from vectorising
            for t in range(T):
                h = np.float32(0)
                for k in range(K):
                    h += widen(down[j, k]) * wide[t, k]
                part = sums[t, first : first + count]
                for c in range(count):
                    part[c] += h * widen(row[c])
        for t in range(T):
            i = rows[start + t]
            for c in range(width):
                y[i, c] = narrow(widen(y[i, c]) + sums[t, c], y)


class SegmentedLora:
    """The adapters that a model's batches may use, joined as `FusedLlama` joins its matrices.

    The rows of a batch are sorted by adapter, and those that have none cost nothing. An adapter's
    ranks are computed for its own rows alone, in one loop for all adapters: a product in torch for
    each adapter, or one over all their ranks, took longer (docs/lab-notes.md).

    Source: Chen et al. 2023, "Punica", section 4 (segmented gather); Sheng et al. 2023, "S-LoRA",
    section 5 (ranks that differ).
    """

    def __init__(self, model: Llama) -> None:
        """Make one without adapters, for a model on the CPU."""
        self._slots: list[bytes] = []  # digests, each at its adapter's number
        self._terms = {
            (layer, product): _Terms(
                [cast(Linear, model.get_submodule(f"layers.{layer}.{part}")) for part in parts]
            )
            for layer in range(model.config.layers)
            for product, parts in PRODUCTS.items()
        }

    def place(self, adapter: LoraAdapter) -> None:
        """Let batches use an adapter; nothing happens where they may already."""
        if adapter.digest in self._slots:
            return
        for (layer, product), terms in self._terms.items():
            parts = [adapter.weights.get(f"layers.{layer}.{part}") for part in PRODUCTS[product]]
            terms.append(parts)
        self._slots.append(adapter.digest)

    def segments(self, digests: Sequence[bytes], rows: NDArray[np.int64]) -> "Segments":
        """The rows of a batch, sorted by adapter.

        Args:
            digests: of the adapter of each sequence; ``b""`` is none.
            rows: (N,), for each row the sequence that it belongs to.
        """
        if not any(digests):
            return Segments(self._terms, rows[:0], np.zeros((0, 3), np.int64))
        slots = np.array([self._slots.index(d) if d else -1 for d in digests])[rows]
        order = np.argsort(slots, kind="stable")
        order = order[np.searchsorted(slots[order], 0) :]
        slots = slots[order]
        place = np.arange(len(order)) - np.searchsorted(slots, slots)  # among those of its adapter
        starts = np.flatnonzero(place % TILE == 0)
        stops = np.append(starts, len(order))[1:]
        return Segments(self._terms, order, np.stack([slots[starts], starts, stops], axis=1))


@dataclass(frozen=True)
class Segments:
    """A batch's rows by adapter."""

    _terms: "dict[tuple[int, str], _Terms]"  # by layer and product
    _rows: NDArray[np.int64]
    _tiles: NDArray[np.int64]

    @property
    def any(self) -> bool:
        """Whether a row has an adapter."""
        return len(self._tiles) > 0

    def add(self, layer: int, product: str, x: Rows, y: Rows) -> None:
        """Add to ``y``, a product of ``x``, what each row's adapter adds to it."""
        terms = self._terms[layer, product]
        if len(self._tiles) and len(terms.columns):
            add_low_rank(
                x.array, y.array, self._rows, self._tiles,
                terms.begin, terms.down, terms.up, terms.columns,
            )  # fmt: skip


class _Terms:
    """What all adapters add to one product; see `add_low_rank`."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        """Of no adapter, to these layers."""
        widths = [layer.out_features for layer in layers]
        self._first = np.cumsum([0, *widths[:-1]])  # column of each of them
        dtype = Rows(layers[0].weight.detach()).array.dtype
        self.begin = np.zeros(1, np.int64)
        self.down = np.empty((0, layers[0].in_features), dtype)
        self.up = np.empty(0, dtype)
        self.columns = np.empty((0, 3), np.int64)

    def append(self, parts: Sequence[tuple[Tensor, Tensor] | None]) -> None:
        """Add those of one more adapter: A (r, K) and B (columns, r) of each layer, or None."""
        for first, part in zip(self._first, parts, strict=True):
            if part is None:
                continue
            a, b = part
            count, r = b.shape
            offsets = len(self.up) + count * np.arange(r)
            new = np.stack([np.full(r, first), np.full(r, count), offsets], axis=1)
            self.columns = np.concatenate([self.columns, new])
            self.down = np.concatenate([self.down, Rows(a).array])
            self.up = np.concatenate([self.up, Rows(b.T.flatten()).array])
        self.begin = np.append(self.begin, len(self.columns))
