"""The key-value cache: what attention has seen is kept, so that a new token costs one step."""

import torch
from torch import Tensor

__all__ = ["KVCache"]


class KVCache:
    """Keys and values of every layer for the positions seen so far.

    A forward pass calls `write` once for each layer and `advance` at its end. What was written
    counts only from then on, so a pass that was interrupted leaves the cache as it was.

    The memory grows by doubling, up to ``limit`` positions: a short chat stays small, and n
    single-token writes copy O(n) values in all.

    Source: Pope et al. 2022, "Efficiently scaling transformer inference", section 2.1.
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        *,
        limit: int,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        """Make an empty cache.

        Args:
            layers, kv_heads, head_dim: the model's shape.
            limit: the most positions it may hold, usually the model's context.
            batch: B, sequences of equal length.
            dtype, device: of the tensors kept.

        Raises:
            ValueError: one of the sizes is not positive.
        """
        for name, size in (
            ("layers", layers),
            ("kv_heads", kv_heads),
            ("head_dim", head_dim),
            ("limit", limit),
            ("batch", batch),
        ):
            if size <= 0:
                raise ValueError(f"{name} must be positive, got {size}")
        self._limit = limit
        self._length = 0
        self._written = 0  # where the last write ended
        shape = (layers, 2, batch, kv_heads, min(limit, 256), head_dim)
        self._store = torch.empty(shape, dtype=dtype, device=device)

    @property
    def length(self) -> int:
        """Positions held, not counting what was written since the last `advance`."""
        return self._length

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put the keys and values of T new positions behind those held.

        Writing again to the same layer before `advance` replaces what was written.

        Args:
            layer: 0 ... layers - 1.
            k, v: shape (B, H_kv, T, D), in the cache's dtype. Copied, so that changing them
                later does not change the cache.

        Returns:
            ``keys, values`` of this layer, each of shape (B, H_kv, length + T, D): those held,
            then the new ones. They may be views of the cache: read them before the next `write`,
            and do not change them.

        Raises:
            ValueError: k and v differ in shape or do not fit the cache's B, H_kv, D; the layer
                does not exist; or length + T exceeds the limit. The cache is then as it was.
        """
        layers, _, B, H, capacity, D = self._store.shape
        T = k.shape[2] if k.ndim == 4 else 0
        if not 0 <= layer < layers:
            raise ValueError(f"there are layers 0 to {layers - 1}, got {layer}")
        if k.shape != (B, H, T, D) or v.shape != k.shape:
            got = f"k {tuple(k.shape)} and v {tuple(v.shape)}"
            raise ValueError(f"k and v must be of shape ({B}, {H}, T, {D}), got {got}")
        stop = self._length + T
        if stop > self._limit:
            raise ValueError(
                f"the cache holds {self._length} of at most {self._limit} positions: {T} more do "
                f"not fit"
            )
        if stop > capacity:
            grown = min(self._limit, max(stop, 2 * capacity))
            store = self._store.new_empty((layers, 2, B, H, grown, D))
            store[..., :capacity, :] = self._store
            self._store = store
        self._written = stop
        keys, values = self._store[layer, :, :, :, :stop].unbind(0)
        keys[:, :, self._length :] = k
        values[:, :, self._length :] = v
        return keys, values

    def advance(self, tokens: int) -> None:
        """Count the first ``tokens`` of the positions that were written as held.

        Raises:
            ValueError: tokens is negative, or more than the last `write` put behind those held.
        """
        if not 0 <= tokens <= self._written - self._length:
            written = self._written - self._length
            raise ValueError(f"cannot advance by {tokens}: {written} positions were written")
        self._length += tokens

    def truncate(self, length: int) -> None:
        """Forget every position from ``length`` on, also what was written and not yet counted.

        Raises:
            ValueError: length is negative or more than is held.
        """
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate {self._length} positions to {length}")
        self._length = self._written = length

    def select(self, rows: Tensor) -> None:
        """Let sequence b continue what sequence ``rows[b]`` holds, as a search by beams needs it.

        What was written and not yet counted is forgotten.

        Args:
            rows: shape (B,), int64, each 0 ... B - 1; a row may be taken several times or never.

        Raises:
            ValueError: rows is not of shape (B,), or names a sequence that does not exist; the
                cache is then as it was.
        """
        batch = self._store.shape[2]
        if rows.shape != (batch,) or not ((rows >= 0) & (rows < batch)).all():
            raise ValueError(f"rows must be {batch} numbers from 0 to {batch - 1}, got {rows}")
        held = self._store[..., : self._length, :]
        held.copy_(held.index_select(2, rows))
        self._written = self._length
