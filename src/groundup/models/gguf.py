"""GGUF, the single-file model format of GGML: metadata, then a table of tensors, then their data.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
The tokenizer of a model lies in its metadata as arrays of about 50,000 strings, so strings are
cut straight out of a memory map; the tensors' data is mapped and never copied here.
"""

import math
import mmap
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError

__all__ = ["BLOCK_SIZES", "GGMLType", "GGUFFile", "GGUFTensor", "read_gguf"]


class GGMLType(IntEnum):
    """How the weights of a tensor are stored: the types that groundup reads, by GGML's numbers."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q8_0 = 8
    Q4_K = 12
    Q6_K = 14
    BF16 = 30


BLOCK_SIZES: dict[GGMLType, tuple[int, int]] = {
    GGMLType.F32: (1, 4),
    GGMLType.F16: (1, 2),
    GGMLType.Q4_0: (32, 18),
    GGMLType.Q4_1: (32, 20),
    GGMLType.Q8_0: (32, 34),
    GGMLType.Q4_K: (256, 144),
    GGMLType.Q6_K: (256, 210),
    GGMLType.BF16: (1, 2),
}
"""For each type, how many consecutive weights of a row form a block, and its size in bytes."""

# Read only to name the type in the message that refuses it.
# fmt: off
_OTHER_TYPES = {
    6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 15: "Q8_K",
    16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}
# fmt: on

# Metadata value types, by the specification's numbers.
_NUMBERS: dict[int, np.dtype[Any]] = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_BOOL, _STRING, _ARRAY = 7, 8, 9

_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MAX_NESTING = 8  # arrays within arrays; each level is a call
# The largest vocabularies take about 20 MB. Without a bound, one damaged length in a file of many
# gigabytes would be read as a string of gigabytes.
_MAX_HEADER_BYTES = 1 << 27


@dataclass(frozen=True, eq=False)
class GGUFTensor:
    """One tensor as it lies in the file.

    ``shape`` is row-major, the order of NumPy and PyTorch: the reverse of the file's dimensions.
    ``raw`` is a read-only view of the memory map, one byte per element, as long as the tensor.
    """

    name: str
    shape: tuple[int, ...]
    type: GGMLType
    raw: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class GGUFFile:
    """The content of one GGUF file; see :func:`read_gguf`.

    ``stored`` has each value of the metadata as it lies in the file, its type's number first, for
    `write_gguf` to write again.
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]
    stored: dict[str, memoryview]


def read_gguf(path: Path) -> GGUFFile:
    """Reads the metadata and the table of tensors of a GGUF file, and maps the tensors' data.

    Little-endian files of version 2 and 3 are read. In ``metadata`` numbers, truth values and
    strings are Python's, an array of numbers or truth values is a NumPy array of the stored type,
    an array of strings is a ``list[str]``, and an array of arrays is a list. Strings should be
    UTF-8; bytes that are not become lone surrogates (PEP 383), so that
    ``text.encode("utf-8", "surrogateescape")`` gives back the stored bytes in every case.

    The file stays mapped for as long as one of its tensors is in use.

    Raises:
        GroundupError: the file is missing, is not a GGUF, has another byte order or version, is
            cut short or damaged, or holds a tensor of a type outside :class:`GGMLType` (refused
            here, at once, rather than when the tensor is first used).
    """
    try:
        if not path.is_file():  # a pipe would be waited for without end
            found = f"{path} is not a file" if path.exists() else f"there is no file {path}"
            raise GroundupError(f"{found}; expected the path of a GGUF file")
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"GGUF":
                start = f"starts with {magic!r}, not b'GGUF'" if magic else "is empty"
                raise GroundupError(f"{path} is not a GGUF file: it {start}; get the file again")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise GroundupError(
            f"cannot read {path}: {error.strerror}; expected a readable GGUF file"
        ) from error
    return _Reader(path, data).read()


class _Reader:
    """Reads one value after another, and refuses to step over the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.raw = np.frombuffer(data, dtype=np.uint8)
        self.at = 4  # behind the magic
        self.end = min(len(data), _MAX_HEADER_BYTES)

    def read(self) -> GGUFFile:
        version = self.integer(4)
        if version in (2 << 24, 3 << 24):
            raise GroundupError(
                f"{self.path} is a big-endian GGUF, expected a little-endian one; get or convert "
                "the model for a little-endian machine"
            )
        if version not in (2, 3):
            raise GroundupError(
                f"{self.path} has GGUF version {version}, expected 2 or 3; convert the model with "
                "a current tool"
            )
        tensor_count, pair_count = self.integer(8), self.integer(8)

        metadata: dict[str, Any] = {}
        stored: dict[str, memoryview] = {}
        for _ in range(pair_count):
            key = self.string()
            if key in metadata:
                raise self.damaged(f"the metadata has the key {key!r:.80} twice")
            start = self.at
            metadata[key] = self.value(self.integer(4))
            stored[key] = memoryview(self.data)[start : self.at]
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self.damaged(
                f"general.alignment is {alignment!r:.40}, expected a positive power of two"
            )

        infos: dict[str, tuple[tuple[int, ...], GGMLType, int, int]] = {}
        for _ in range(tensor_count):
            name = self.string()
            if name in infos:
                raise self.damaged(f"the tensor {name!r:.80} is there twice")
            infos[name] = self.tensor_info(name, alignment)

        base = -(-self.at // alignment) * alignment
        last = max(infos, key=lambda name: infos[name][-1], default=None)
        if last is not None and (missing := base + infos[last][-1] - len(self.data)) > 0:
            raise GroundupError(
                f"{self.path} is cut short or damaged: the tensor {last!r:.80} ends at byte "
                f"{base + infos[last][-1]}, but the file has {len(self.data)} bytes, so {missing} "
                "are missing; get the file again"
            )
        tensors = {
            name: GGUFTensor(name, shape, kind, self.raw[base + start : base + end])
            for name, (shape, kind, start, end) in infos.items()
        }
        return GGUFFile(self.path, metadata, tensors, stored)

    def tensor_info(self, name: str, alignment: int) -> tuple[tuple[int, ...], GGMLType, int, int]:
        """The shape and type of a tensor, and where in the data section it starts and ends."""
        dimensions = self.integer(4)
        if dimensions > _MAX_DIMENSIONS:
            raise self.damaged(
                f"the tensor {name!r:.80} has {dimensions} dimensions, expected at most "
                f"{_MAX_DIMENSIONS}"
            )
        shape = tuple(self.integer(8) for _ in range(dimensions))[::-1]
        number, offset = self.integer(4), self.integer(8)
        if number not in BLOCK_SIZES:
            raise GroundupError(
                f"the tensor {name!r:.80} in {self.path} has the type "
                f"{_OTHER_TYPES.get(number, 'unknown')} ({number}), expected one of "
                f"{', '.join(kind.name for kind in GGMLType)}; get the model in one of these"
            )
        kind = GGMLType(number)
        weights, size = BLOCK_SIZES[kind]
        if 0 in shape or math.prod(shape[-1:]) % weights:
            raise self.damaged(
                f"the tensor {name!r:.80} of type {kind.name} has the shape {shape}, expected "
                f"rows of a positive multiple of {weights}"
            )
        if offset % alignment:
            raise self.damaged(
                f"the tensor {name!r:.80} lies at offset {offset}, expected a multiple of the "
                f"alignment {alignment}"
            )
        return shape, kind, offset, offset + math.prod(shape) // weights * size

    def value(self, kind: int, depth: int = 0) -> Any:
        """The next metadata value, which has the specification's type number ``kind``."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            if depth == _MAX_NESTING:
                raise self.damaged(f"metadata arrays are nested more than {_MAX_NESTING} deep")
            return self.array(self.integer(4), self.integer(8), depth + 1)
        return self.numbers(kind, 1)[0].item()

    def array(self, kind: int, count: int, depth: int) -> Any:
        if kind == _STRING:
            return self.strings(count)
        if kind == _ARRAY:
            self.need(12 * count)  # each inner array has at least its type and count
            return [self.value(kind, depth) for _ in range(count)]
        return self.numbers(kind, count)

    def numbers(self, kind: int, count: int) -> NDArray[Any]:
        if kind != _BOOL and kind not in _NUMBERS:
            raise self.damaged(f"a metadata value has the type number {kind}, expected 0 to 12")
        stored = _NUMBERS.get(kind, np.dtype("u1"))
        found = self.raw[self.step(count * stored.itemsize) : self.at].view(stored)
        return found != 0 if kind == _BOOL else found.copy()

    def string(self) -> str:
        return self.strings(1)[0]

    def strings(self, count: int) -> list[str]:
        """The next ``count`` strings: each is its length in 8 bytes, then its bytes."""
        self.need(8 * count)
        data, at, end = self.data, self.at, self.end
        found = []
        for _ in range(count):
            start = at + 8
            # A length that is itself cut off reads as a smaller one, but start is beyond the end.
            at = start + int.from_bytes(data[at:start], "little")
            if at > end:
                self.at = start - 8
                self.need(at - self.at)
            found.append(data[start:at].decode("utf-8", "surrogateescape"))
        self.at = at
        return found

    def integer(self, size: int) -> int:
        """The next unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.data[self.step(size) : self.at], "little")

    def step(self, size: int) -> int:
        """Steps over ``size`` bytes and returns where they begin."""
        self.need(size)
        start, self.at = self.at, self.at + size
        return start

    def need(self, size: int) -> None:
        """Refuses a header that does not have ``size`` more bytes."""
        if size > self.end - self.at:
            raise self.damaged(
                f"the header needs {size} more bytes, but {self.end - self.at} follow"
            )

    def damaged(self, what: str) -> GroundupError:
        return GroundupError(
            f"{self.path} is cut short or damaged near byte {self.at}: {what}; get the file again"
        )
