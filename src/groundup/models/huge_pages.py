"""Weights in pages of 2 MiB, where the processor need not look up so often where they lie."""

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["in_huge_pages"]

# One token reads every weight once, and most of the usual pages of 4 KiB for the first time in a
# long while: on a virtual machine looking them up took as long as the reading (BENCHMARKS.md).
# Linux gives large pages to who asks, as NumPy does for large arrays (and torch does not). So that
# small weights have them too, many share one array, whose end costs nothing until it is written.
REGION = 1 << 26  # bytes
ALIGNMENT = 64  # a cache line, and the widest register
SMALLEST = 1 << 16  # bytes; what is smaller stays where it is

_lock = threading.Lock()
_region: NDArray[np.uint8] = np.empty(0, np.uint8)
_used = 0


def in_huge_pages(tensor: Tensor) -> Tensor:
    """A copy of a contiguous tensor on the CPU in such memory; a small tensor itself."""
    global _region, _used
    size = tensor.numel() * tensor.element_size()
    if size < SMALLEST:
        return tensor
    with _lock:
        room = size + ALIGNMENT
        if _used + room > len(_region):
            _region, _used = np.empty(max(REGION, room), np.uint8), 0
        start = _used + -(_region.ctypes.data + _used) % ALIGNMENT
        place = _region[start : start + size]
        _used = start + size
    copy: Tensor = torch.from_numpy(place).view(tensor.dtype).view(tensor.shape)
    return copy.copy_(tensor)
