"""The format of MNIST's files: arrays of bytes behind their shape."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError

__all__ = ["read_idx"]

BYTES = 0x08  # the format's code for unsigned bytes


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read an array of bytes from a gzipped idx file.

    Two zeros, the code of the dtype and the number of axes, a byte each; then the sizes, of four
    bytes each, the highest first; then the values.

    Args:
        path: of the file.
        ndim: how many axes are expected.

    Raises:
        GroundupError: the file is missing, not gzipped, cut off, or holds something else.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise GroundupError(f"{path} cannot be read: {error}") from None
    header = 4 + 4 * ndim
    expected = bytes([0, 0, BYTES, ndim])
    if content[:4] != expected or len(content) < header:
        raise GroundupError(
            f"{path} does not hold an idx array of bytes with {ndim} axes: it begins with "
            f"{content[:4].hex()}, expected {expected.hex()}"
        )
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], ">u4"))
    if len(content) - header != math.prod(shape):
        raise GroundupError(
            f"{path} is cut off or too long: {len(content) - header:,} bytes for the shape {shape}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
