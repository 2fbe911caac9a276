"""Writing GGUF, the single-file model format of GGML.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.models.gguf import BLOCK_SIZES, GGUFTensor

__all__ = ["write_gguf"]

VERSION = 3
ALIGNMENT = 32  # bytes; what files have that do not name another
BOOL, STRING, ARRAY = 7, 8, 9
NUMBERS = {"u1": 0, "i1": 1, "u2": 2, "i2": 3, "u4": 4, "i4": 5, "f4": 6, "b1": 7, "u8": 10,
           "i8": 11, "f8": 12}  # fmt: skip


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Iterable[GGUFTensor]) -> None:
    """Write a file of version 3, whole or not at all.

    Args:
        path: of the file.
        metadata: its keys and values. A whole number is written as 32 unsigned bits, a Python float
            as 32 bits, an array as its dtype says; a list is one of strings, in which lone
            surrogates stand for the bytes that they do in `read_gguf`. A ``memoryview`` is written
            as it is: a value as `GGUFFile.stored` has it.
        tensors: what the file is to hold, in this order.

    Raises:
        ValueError: a value or an array of another kind; a tensor whose data is not as long as its
            shape and type say; two tensors of one name.
        GroundupError: the file cannot be written.
    """
    tensors = list(tensors)
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise ValueError("each tensor needs a name of its own, got one name twice")
    values = {key: encoded(key, value) for key, value in metadata.items()}
    alignment = alignment_of(metadata)
    head: list[bytes | memoryview] = [
        b"GGUF",
        number(VERSION, 4),
        number(len(tensors)),
        number(len(values)),
    ]
    for key, value in values.items():
        head += [string(key), value]
    offset = 0
    for tensor in tensors:
        head.append(info(tensor, offset))
        offset += padded(len(tensor.raw), alignment)

    def parts() -> Iterator[bytes | memoryview]:
        start = b"".join(head)
        yield start + bytes(-len(start) % alignment)
        for tensor in tensors:
            yield np.ascontiguousarray(tensor.raw).data
            yield bytes(-len(tensor.raw) % alignment)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GroundupError(
            f"cannot write {path}: {error.strerror or error}; make room or choose another folder"
        ) from error


def encoded(key: str, value: Any) -> bytes | memoryview:
    """A metadata value with its type's number before it."""
    match value:
        case memoryview():
            return value
        case bool():
            return number(BOOL, 4) + number(value, 1)
        case int() if 0 <= value < 2**32:
            return number(NUMBERS["u4"], 4) + number(value, 4)
        case float():
            return number(NUMBERS["f4"], 4) + np.float32(value).tobytes()
        case str():
            return number(STRING, 4) + string(value)
        case list() if all(isinstance(item, str) for item in value):
            items = b"".join(map(string, value))
            return number(ARRAY, 4) + number(STRING, 4) + number(len(value)) + items
        case np.ndarray() if value.ndim == 1 and value.dtype.str[1:] in NUMBERS:
            kind = NUMBERS[value.dtype.str[1:]]
            items = little_endian(value).tobytes()
            return number(ARRAY, 4) + number(kind, 4) + number(len(value)) + items
    raise ValueError(
        f"{key} is {value!r:.60}, expected a bool, an int of 0 to 2**32 - 1, a float, a str, a "
        "list of str, a one-dimensional array, or a memoryview of a stored value"
    )


def info(tensor: GGUFTensor, offset: int) -> bytes:
    """A tensor's row in the table: its name, shape, type and place."""
    weights, size = BLOCK_SIZES[tensor.type]
    count = int(np.prod(tensor.shape))
    if not tensor.shape or tensor.shape[-1] % weights or len(tensor.raw) != count // weights * size:
        raise ValueError(
            f"{tensor.name} of type {tensor.type.name} and shape {tensor.shape} takes rows of a "
            f"multiple of {weights} and {count // weights * size} bytes, got {len(tensor.raw)}"
        )
    sizes = b"".join(map(number, reversed(tensor.shape)))
    shape = number(len(tensor.shape), 4) + sizes
    return string(tensor.name) + shape + number(tensor.type, 4) + number(offset)


def alignment_of(metadata: Mapping[str, Any]) -> int:
    """What the metadata says of it, as a number or as it was stored (type, then 4 bytes)."""
    found = metadata.get("general.alignment", ALIGNMENT)
    return int.from_bytes(found[4:], "little") if isinstance(found, memoryview) else int(found)


def padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def number(value: int, size: int = 8) -> bytes:
    return int(value).to_bytes(size, "little")


def string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return number(len(data)) + data


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
