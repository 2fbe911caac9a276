"""Numbers inside compiled loops: bfloat16's bits, 8- and 16-bit integers, and an exponential."""

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import overload

__all__ = ["exponential", "narrow", "widen"]


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
