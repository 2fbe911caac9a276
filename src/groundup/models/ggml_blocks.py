"""Quantised weights as GGML's blocks of 32: what `dequantize` reads.

Each function takes whole rows of a matrix (M, K), K a multiple of 32, and returns its blocks, one
after another, as bytes.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.models.dequantize import Q4_0, Q4_1, Q8_0

__all__ = ["q4_0_blocks", "q4_1_blocks", "q8_0_blocks"]

BLOCK = 32


def q8_0_blocks(q: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blocks of ``scale * q``: q (M, K), scale (M, K / 32), of values that float16 has."""
    blocks = np.empty(scale.size, Q8_0)
    blocks["scale"] = scale.reshape(-1)
    blocks["q"] = q.reshape(-1, BLOCK)
    return blocks.view(np.uint8)


def q4_0_blocks(q: NDArray[np.uint8], scale: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blocks of ``scale * (q - 8)``: q (M, K) of 0 to 15, scale (M, K / 32)."""
    blocks = np.empty(scale.size, Q4_0)
    blocks["scale"] = scale.reshape(-1)
    blocks["q"] = halves(q)
    return blocks.view(np.uint8)


def q4_1_blocks(
    q: NDArray[np.uint8], scale: NDArray[np.float32], minimum: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Blocks of ``scale * q + minimum``: as `q4_0_blocks`, and minimum (M, K / 32)."""
    blocks = np.empty(scale.size, Q4_1)
    blocks["scale"] = scale.reshape(-1)
    blocks["minimum"] = minimum.reshape(-1)
    blocks["q"] = halves(q)
    return blocks.view(np.uint8)


def halves(q: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Byte i of a block's 16: weight i in the low four bits, weight 16 + i in the high ones."""
    blocks = q.reshape(-1, BLOCK)
    return np.bitwise_or(blocks[:, :16], np.left_shift(blocks[:, 16:], 4))
