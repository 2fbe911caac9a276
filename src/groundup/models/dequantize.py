"""Weights from GGML's blocks: float32 from the stored types of a GGUF file.

A quantised row is a sequence of blocks. A block holds a few float16 scales and, for each of its
weights, a small integer q; a weight is ``scale * q`` or ``scale * q + minimum``. The layouts are
those of GGML (ggml-common.h, ``block_q4_0`` and so on); each is written here as a NumPy record
type, in the file's order of bytes. All arithmetic is in float32.

Each function below takes n blocks as a 1-D array of its record type and returns a new float32
array of shape (n, weights per block).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.models.gguf import GGMLType

__all__ = [
    "BF16",
    "Q4_0",
    "Q4_1",
    "Q4_K",
    "Q6_K",
    "Q8_0",
    "dequantize",
    "dequantize_bf16",
    "dequantize_q4_0",
    "dequantize_q4_1",
    "dequantize_q4_k",
    "dequantize_q6_k",
    "dequantize_q8_0",
]

BF16 = np.dtype("<u2")
Q8_0 = np.dtype([("scale", "<f2"), ("q", "i1", 32)])
Q4_0 = np.dtype([("scale", "<f2"), ("q", "u1", 16)])
Q4_1 = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("q", "u1", 16)])
Q4_K = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("sub", "u1", 12), ("q", "u1", 128)])
Q6_K = np.dtype([("low", "u1", 128), ("high", "u1", 64), ("sub", "i1", 16), ("scale", "<f2")])


def dequantize_bf16(blocks: NDArray[np.uint16]) -> NDArray[np.float32]:
    """A bfloat16 is the upper half of a float32: sign, 8 bits of exponent, 7 of mantissa."""
    return (blocks.astype(np.uint32) << 16).view(np.float32)


def dequantize_q8_0(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """32 weights: ``scale * q`` with q a signed byte."""
    out = blocks["q"].astype(np.float32)  # (n, 32)
    out *= _column(blocks["scale"])
    return out


def dequantize_q4_0(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """32 weights: ``scale * (q - 8)``.

    Byte i holds q of weight i in its low four bits and q of weight 16 + i in its high four.
    """
    out = _nibbles(blocks["q"]).reshape(-1, 32)
    out -= 8
    out *= _column(blocks["scale"])
    return out


def dequantize_q4_1(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """32 weights: ``scale * q + minimum``, with the bytes of q as in Q4_0."""
    out = _nibbles(blocks["q"]).reshape(-1, 32)
    out *= _column(blocks["scale"])
    out += _column(blocks["minimum"])
    return out


def dequantize_q4_k(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """256 weights in 8 sub-blocks of 32: ``scale * s * q - minimum * m``.

    Sub-blocks 2j and 2j + 1 share bytes 32j to 32j + 31 of q: the former has the low four bits,
    the latter the high four. The 6-bit s and m of each sub-block are packed into 12 bytes. Byte j
    has s of sub-block j in its low six bits, and byte 4 + j has m, for j < 4. The low four bits
    of s and m of sub-block 4 + j are the low and the high half of byte 8 + j; their high two bits
    are the high two bits of byte j and of byte 4 + j.
    """
    first, last = blocks["sub"][:, :8], blocks["sub"][:, 8:]
    top = first >> 6 << 4
    s = np.hstack([first[:, :4] & 63, last & 15 | top[:, :4]])  # (n, 8)
    m = np.hstack([first[:, 4:] & 63, last >> 4 | top[:, 4:]])  # (n, 8)
    out = _nibbles(blocks["q"].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    out *= (_column(blocks["scale"]) * s)[..., None]
    out -= (_column(blocks["minimum"]) * m)[..., None]
    return out.reshape(-1, 256)


def dequantize_q6_k(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """256 weights in 16 sub-blocks of 16: ``scale * s * (q - 32)`` with s a signed byte.

    Each half of 128 weights has 64 bytes with the low four bits of q and 32 bytes with the high
    two. In a half, weight 32g + i takes, for group g < 4, the low (g < 2) or high half of its low
    byte 32 (g mod 2) + i, and bits 2g and 2g + 1 of its high byte i.
    """
    n = len(blocks)
    low, high = blocks["low"].reshape(n, 2, 2, 32), blocks["high"].reshape(n, 2, 32)
    out = np.empty((n, 2, 4, 32), np.float32)
    for g in range(4):
        out[:, :, g] = low[:, :, g % 2] >> 4 * (g // 2) & 15 | (high >> 2 * g & 3) << 4
    out -= 32
    weights = out.reshape(n, 16, 16)
    weights *= (_column(blocks["scale"]) * blocks["sub"])[..., None]
    return weights.reshape(n, 256)


def _column(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    return halves.astype(np.float32)[:, None]  # (n, 1)


def _nibbles(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The low halves of the bytes of each row, then the high ones: (..., k) to (..., 2, k)."""
    out = np.empty((*packed.shape[:-1], 2, packed.shape[-1]), np.float32)
    out[..., 0, :] = packed & 15
    out[..., 1, :] = packed >> 4
    return out


_FORMATS: dict[GGMLType, tuple[np.dtype[Any], Callable[[NDArray[Any]], NDArray[np.float32]]]] = {
    GGMLType.F32: (np.dtype("<f4"), lambda blocks: blocks.astype(np.float32)),
    GGMLType.F16: (np.dtype("<f2"), lambda blocks: blocks.astype(np.float32)),
    GGMLType.BF16: (BF16, dequantize_bf16),
    GGMLType.Q8_0: (Q8_0, dequantize_q8_0),
    GGMLType.Q4_0: (Q4_0, dequantize_q4_0),
    GGMLType.Q4_1: (Q4_1, dequantize_q4_1),
    GGMLType.Q4_K: (Q4_K, dequantize_q4_k),
    GGMLType.Q6_K: (Q6_K, dequantize_q6_k),
}


def dequantize(
    raw: NDArray[np.uint8], type: GGMLType, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The weights of a tensor as a new float32 array of ``shape``.

    ``raw`` holds the tensor's blocks one after another, row by row, as a GGUF file does; it may
    be read-only and is not changed.

    Raises:
        ValueError: ``raw`` does not hold as many weights of this type as ``shape`` asks for.
    """
    blocks, weights = _FORMATS[type]
    return weights(raw.view(blocks)).reshape(shape)
