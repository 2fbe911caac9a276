"""What compiled loops share: bfloat16's bits, integers, an exponential, and where they serve."""

from typing import Any

import numpy as np
import torch
from numba import njit
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["LEAST", "exponential", "has_loop", "narrow", "rows", "widen"]

# A loop for training has one thread, which does the work of five of torch's. Numba's own threads
# cannot be used in a process that was forked, as the grader's are.
THREADS = 4
LEAST = 1 << 16  # elements: the loop is compiled or read from disk at its first use


def widen(value: Any) -> Any:
    """A float32 from a float32, the bits of a bfloat16, or an integer of these forms."""
    raise NotImplementedError  # compiled only


def narrow(value: Any, like: Any) -> Any:
    """A float32 as an element of ``like``: itself, or the bits of the nearest bfloat16."""
    raise NotImplementedError  # compiled only


@overload(widen, inline="always")
def _widen(value: Any) -> Any:
    def unchanged(value: Any) -> Any:
        return value

    def from_bits(value: Any) -> Any:
        return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)

    def from_integer(value: Any) -> Any:
        return np.float32(value) - np.float32(128)

    def from_signed(value: Any) -> Any:
        return np.float32(value)

    if isinstance(value, types.Float):
        return unchanged
    return {types.uint8: from_integer, types.int16: from_signed}.get(value, from_bits)


@overload(narrow, inline="always")
def _narrow(value: Any, like: Any) -> Any:
    def unchanged(value: Any, like: Any) -> Any:
        return value

    def to_bits(value: Any, like: Any) -> Any:
        bits = np.float32(value).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)  # ties go to even, as torch's do
        return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return unchanged if isinstance(like.dtype, types.Float) else to_bits


@njit(inline="always", fastmath=True)
def exponential(x: Any) -> Any:
    """``exp(x)`` in float32 to 2 units in the last place, of operations that vectorise.

    Source: Cody and Waite 1980, "Software manual for the elementary functions", chapter 6.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


def has_loop(z: Tensor) -> bool:
    """Whether compiled loops serve: in training on few threads of a CPU, and not of few elements.

    They take float32 and bfloat16.
    """
    ours = z.device.type == "cpu" and z.dtype in (torch.float32, torch.bfloat16)
    worthwhile = z.numel() >= LEAST and torch.get_num_threads() <= THREADS
    return (
        ours
        and worthwhile
        and torch.is_grad_enabled()
        and z.requires_grad
        and not torch.compiler.is_compiling()
    )


def rows(x: Tensor) -> NDArray[Any]:
    """A contiguous tensor's memory as (N, C), bfloat16 as its bits."""
    x = x.detach().view(-1, x.shape[-1])
    array: NDArray[Any] = (x if x.dtype == torch.float32 else x.view(torch.uint16)).numpy()
    return array
