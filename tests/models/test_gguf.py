"""Files are written by the gguf package's writer, or byte by byte after the specification."""

import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFValueType
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.gguf import BLOCK_SIZES, GGMLType, GGUFFile, read_gguf

Pair = tuple[Any, Any, Any]  # the value, its type, and the type of its items

NUMBERS: dict[GGUFValueType, tuple[str, list[Any]]] = {
    GGUFValueType.UINT8: ("u1", [0, 7, 255]),
    GGUFValueType.INT8: ("i1", [-128, -1, 127]),
    GGUFValueType.UINT16: ("u2", [0, 65535]),
    GGUFValueType.INT16: ("i2", [-32768, 32767]),
    GGUFValueType.UINT32: ("u4", [1, 2**32 - 1]),
    GGUFValueType.INT32: ("i4", [-(2**31), 5]),
    GGUFValueType.UINT64: ("u8", [2**64 - 1, 0]),
    GGUFValueType.INT64: ("i8", [-(2**63), 2**63 - 1]),
    GGUFValueType.FLOAT32: ("f4", [-0.5, 3.0e38]),
    GGUFValueType.FLOAT64: ("f8", [1e-300, 0.1]),
    GGUFValueType.BOOL: ("?", [True, False]),
}
UINT32, STRING, ARRAY = 4, 8, 9


def write(
    path: Path,
    pairs: Mapping[str, Pair],
    tensors: Mapping[str, NDArray[Any]],
    alignment: int | None = None,
    endianess: GGUFEndian = GGUFEndian.LITTLE,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama", endianess=endianess)
    if alignment:
        writer.add_custom_alignment(alignment)
    for key, (value, kind, item_kind) in pairs.items():
        writer.add_key_value(key, value, kind, item_kind)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little")


def string(text: bytes) -> bytes:
    return number(len(text)) + text


def uint32(key: bytes, value: int) -> bytes:
    return string(key) + number(UINT32, 4) + number(value, 4)


def array(key: bytes, kind: int, count: int, items: bytes = b"") -> bytes:
    return string(key) + number(ARRAY, 4) + number(kind, 4) + number(count) + items


def tensor_info(
    name: bytes = b"w", dimensions: Sequence[int] = (32,), kind: int = 0, offset: int = 0
) -> bytes:
    sizes = b"".join(map(number, dimensions))
    return string(name) + number(len(dimensions), 4) + sizes + number(kind, 4) + number(offset)


def header(
    pairs: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    version: int = 3,
    magic: bytes = b"GGUF",
) -> bytes:
    counts = number(len(tensors)) + number(len(pairs))
    return magic + number(version, 4) + counts + b"".join([*pairs, *tensors])


def with_data(head: bytes, size: int = 128) -> bytes:
    return head + bytes(-len(head) % 32 + size)


def read_bytes(tmp_path: Path, content: bytes) -> GGUFFile:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    return read_gguf(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays of every kind and two tensors in about 1 kB."""
    pairs: dict[str, Pair] = {
        f"a.{kind.name}": (items, GGUFValueType.ARRAY, kind) for kind, (_, items) in NUMBERS.items()
    }
    pairs["words"] = (["a", "Ġé", ""], GGUFValueType.ARRAY, GGUFValueType.STRING)
    pairs["nested"] = ([[1, 2], [3]], GGUFValueType.ARRAY, GGUFValueType.ARRAY)
    tensors: dict[str, NDArray[Any]] = {
        "one": np.arange(6, dtype=np.float32).reshape(2, 3),
        "two": np.ones(3, np.float16),
    }
    return write(tmp_path_factory.mktemp("gguf") / "small.gguf", pairs, tensors)


def test_types_and_block_sizes_are_those_of_ggml() -> None:
    theirs = {GGMLQuantizationType[kind.name]: kind for kind in GGMLType}
    assert all(int(their) == int(our) for their, our in theirs.items())
    assert {our: gguf.GGML_QUANT_SIZES[their] for their, our in theirs.items()} == BLOCK_SIZES


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_is_read_as_a_python_number(tmp_path: Path, kind: GGUFValueType) -> None:
    dtype, items = NUMBERS[kind]
    pairs: dict[str, Pair] = {f"v{i}": (item, kind, None) for i, item in enumerate(items)}
    metadata = read_gguf(write(tmp_path / "m.gguf", pairs, {})).metadata
    for i, item in enumerate(items):
        assert type(metadata[f"v{i}"]) is type(item)
        assert metadata[f"v{i}"] == np.array(item, dtype)


@pytest.mark.parametrize("kind", NUMBERS)
def test_an_array_of_numbers_keeps_its_type(tmp_path: Path, kind: GGUFValueType) -> None:
    dtype, items = NUMBERS[kind]
    pairs = {"odd": ("xyz", GGUFValueType.STRING, None), "v": (items, GGUFValueType.ARRAY, kind)}
    got = read_gguf(write(tmp_path / "m.gguf", pairs, {})).metadata["v"]
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, np.array(items, dtype))


def test_strings_and_nested_arrays_are_read_as_lists(small: Path) -> None:
    metadata = read_gguf(small).metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["words"] == ["a", "Ġé", ""]
    assert [inner.tolist() for inner in metadata["nested"]] == [[1, 2], [3]]


def test_an_empty_array_is_read(tmp_path: Path) -> None:
    pairs = [array(b"s", STRING, 0), array(b"n", UINT32, 0), array(b"a", ARRAY, 0)]
    metadata = read_bytes(tmp_path, header(pairs)).metadata
    assert (metadata["s"], metadata["n"].tolist(), metadata["a"]) == ([], [], [])


def test_bytes_that_are_not_utf8_can_be_had_back(tmp_path: Path) -> None:
    stored = [b"\xff", b"ok\xc3", b"\xed\xa0\x80", "é".encode()]
    pairs = {"s": (stored, GGUFValueType.ARRAY, GGUFValueType.STRING)}
    got = read_gguf(write(tmp_path / "m.gguf", pairs, {})).metadata["s"]
    assert [text.encode("utf-8", "surrogateescape") for text in got] == stored
    assert got[3] == "é"


@pytest.mark.parametrize("alignment", [None, 1, 8, 64, 4096])
def test_tensors_are_found_at_every_alignment(tmp_path: Path, alignment: int | None) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "one": rng.standard_normal((2, 3, 5)).astype(np.float32),
        "two": rng.standard_normal(7).astype(np.float16),
        "three": rng.standard_normal((4, 2)).astype(np.float32),
    }
    file = read_gguf(write(tmp_path / "m.gguf", {}, arrays, alignment))
    assert list(file.tensors) == list(arrays)
    for name, expected in arrays.items():
        tensor = file.tensors[name]
        assert (tensor.name, tensor.shape) == (name, expected.shape)
        assert tensor.type == (GGMLType.F16 if name == "two" else GGMLType.F32)
        assert tensor.raw.dtype == np.uint8
        assert tensor.raw.tobytes() == expected.tobytes()


def test_a_tensor_is_a_read_only_view_of_the_file(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.gguf"
    path.write_bytes(small.read_bytes())
    raw = read_gguf(path).tensors["one"].raw
    start = path.read_bytes().index(raw.tobytes())
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\x99")
    assert raw[0] == 0x99
    assert not raw.flags.writeable


@pytest.mark.parametrize("version", [2, 3])
def test_versions_2_and_3_are_read(tmp_path: Path, version: int) -> None:
    content = with_data(header([uint32(b"k", 5)], [tensor_info()], version))
    file = read_bytes(tmp_path, content)
    assert (file.metadata, file.tensors["w"].shape) == ({"k": 5}, (32,))


def test_a_tensor_without_dimensions_has_one_weight(tmp_path: Path) -> None:
    tensor = read_bytes(tmp_path, with_data(header([], [tensor_info(dimensions=())]))).tensors["w"]
    assert (tensor.shape, tensor.raw.size) == ((), 4)


def test_missing_and_wrong_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"there is no file .*absent\.gguf; expected"):
        read_gguf(tmp_path / "absent.gguf")
    with pytest.raises(GroundupError, match=r"is not a file; expected"):
        read_gguf(tmp_path)
    with pytest.raises(GroundupError, match=r"cannot read .*: File name too long"):
        read_gguf(tmp_path / ("x" * 300))


def test_a_big_endian_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", {}, {}, endianess=GGUFEndian.BIG)
    with pytest.raises(GroundupError, match="is a big-endian GGUF, expected a little-endian"):
        read_gguf(path)


NESTED = array(b"k", ARRAY, 1, (number(ARRAY, 4) + number(1)) * 2000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a GGUF file: it is empty"),
        (b"GG", "it starts with b'GG', not b'GGUF'"),
        (header(magic=b"ggml"), "it starts with b'ggml', not b'GGUF'"),
        (header(version=1), "has GGUF version 1, expected 2 or 3"),
        (header(version=0), "has GGUF version 0, expected 2 or 3"),
        (header([uint32(b"k", 1)] * 2), "has the key 'k' twice"),
        (header([string(b"k") + number(13, 4)]), "has the type number 13, expected 0 to 12"),
        (header([uint32(b"general.alignment", 0)]), "alignment is 0, expected a positive power"),
        (header([uint32(b"general.alignment", 24)]), "alignment is 24, expected a positive power"),
        (header([array(b"general.alignment", STRING, 0)]), r"alignment is \[\], expected"),
        (header([NESTED]), "nested more than 8 deep"),
        (header([], [tensor_info(), tensor_info()]), "the tensor 'w' is there twice"),
        (header([], [tensor_info(dimensions=[1] * 5)]), "'w' has 5 dimensions, expected at most 4"),
        (header([], [tensor_info(dimensions=[0, 4])]), r"has the shape \(4, 0\), expected rows"),
        (header([], [tensor_info(dimensions=[33], kind=8)]), r"Q8_0 has the shape \(33,\), exp"),
        (header([], [tensor_info(dimensions=[8, 32], kind=3)]), "a positive multiple of 32"),
        (header([], [tensor_info(dimensions=[32], kind=14)]), "a positive multiple of 256"),
        (header([], [tensor_info(offset=8)]), "lies at offset 8, expected a multiple of .* 32"),
        (header([], [tensor_info(kind=13)]), r"'w' in .* has the type Q5_K \(13\).*Q4_K, Q6_K"),
        (header([], [tensor_info(kind=77)]), r"the type unknown \(77\), expected one of F32, F16"),
        (with_data(header([], [tensor_info()]), 100), "'w' ends at .* so 28 are missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_content_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(GroundupError, match=message) as raised:
        read_bytes(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert "model.gguf" in str(raised.value)


@pytest.mark.parametrize("name", ["Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q5_K", "IQ4_NL", "F64", "MXFP4"])
def test_a_type_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    kind = int(GGMLQuantizationType[name])
    content = with_data(header([], [tensor_info(dimensions=[256], kind=kind)]), 4096)
    with pytest.raises(GroundupError, match=rf"has the type {name} \({kind}\), expected one of"):
        read_bytes(tmp_path, content)


def test_names_are_shown_short_and_printable(tmp_path: Path) -> None:
    content = header([], [tensor_info(b"\xff\n" * 10_000, kind=13)])
    with pytest.raises(GroundupError) as raised:
        read_bytes(tmp_path, content)
    message = str(raised.value)
    message.encode()  # a lone surrogate could not be printed
    assert "\n" not in message
    assert len(message) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**40, 900_000_000])
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GGUF" + number(3, 4), id="tensors"),
        pytest.param(b"GGUF" + number(3, 4) + number(0), id="pairs"),
        pytest.param(b"GGUF" + number(3, 4) + number(0) + number(1), id="length of a key"),
        pytest.param(header([string(b"k") + number(STRING, 4)]), id="length of a string"),
        pytest.param(header([string(b"k") + number(ARRAY, 4) + number(0, 4)]), id="bytes"),
        pytest.param(header([string(b"k") + number(ARRAY, 4) + number(12, 4)]), id="doubles"),
        pytest.param(header([string(b"k") + number(ARRAY, 4) + number(STRING, 4)]), id="strings"),
        pytest.param(header([string(b"k") + number(ARRAY, 4) + number(ARRAY, 4)]), id="arrays"),
        pytest.param(header([], [string(b"w") + number(2, 4) + number(1)]), id="dimension"),
    ],
)
def test_an_absurd_count_is_refused_without_memory(
    tmp_path: Path, start: bytes, count: int
) -> None:
    """Even in a file of a gigabyte, where 900 million bytes would be there."""
    path = tmp_path / "sparse.gguf"
    path.write_bytes(start + number(count) + bytes(24))
    for size in (path.stat().st_size, 2**30):
        with path.open("r+b") as file:
            file.truncate(size)
        tracemalloc.start()
        try:
            with pytest.raises(GroundupError):
                read_gguf(path)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_a_file_cut_short_anywhere_is_refused(small: Path, tmp_path: Path) -> None:
    content = small.read_bytes()
    last = gguf.GGUFReader(small).tensors[-1]
    end = int(last.data_offset + last.n_bytes)
    assert 0 < len(content) - end < 32  # padding, which nothing needs
    for size in range(end):
        with pytest.raises(GroundupError):
            read_bytes(tmp_path, content[:size])
    for size in range(end, len(content)):
        assert set(read_bytes(tmp_path, content[:size]).tensors) == {"one", "two"}


def test_a_file_may_end_with_its_last_string_but_not_within(tmp_path: Path) -> None:
    content = header([array(b"k", STRING, 2, string(b"one") + string(b"two"))])
    assert read_bytes(tmp_path, content).metadata == {"k": ["one", "two"]}
    with pytest.raises(GroundupError, match="the header needs 11 more bytes, but 10 follow"):
        read_bytes(tmp_path, content[:-1])


def read_or_refused(path: Path) -> None:
    try:
        tensors = read_gguf(path).tensors
    except GroundupError:
        return
    for tensor in tensors.values():
        weights, size = BLOCK_SIZES[tensor.type]
        assert tensor.raw.size * weights == np.prod(tensor.shape) * size


@settings(max_examples=300, deadline=None)
@given(damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1))
def test_a_damaged_file_is_read_or_refused(
    small: Path, tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[float, bytes]]
) -> None:
    content = bytearray(small.read_bytes())
    for place, new in damage:
        at = int(place * (len(content) - len(new)))
        content[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(content)
    read_or_refused(path)


def test_any_damaged_byte_of_the_header_is_read_or_refused(small: Path, tmp_path: Path) -> None:
    content = small.read_bytes()
    path = tmp_path / "damaged.gguf"
    for at in range(int(gguf.GGUFReader(small).data_offset)):
        for byte in (0, 255, content[at] ^ 1, content[at] ^ 0x80):
            path.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
            read_or_refused(path)


def test_the_chat_model_reads_as_the_gguf_package_reads_it() -> None:
    path = fetch("smollm2-135m-instruct")
    ours, theirs = read_gguf(path), gguf.GGUFReader(path)
    fields = {k: f for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for key, field in fields.items():
        got = ours.metadata[key]
        assert (got.tolist() if isinstance(got, np.ndarray) else got) == field.contents()
    assert len(ours.metadata["tokenizer.ggml.tokens"]) == 49_152
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        our = ours.tensors[tensor.name]
        assert (our.type, our.shape) == (tensor.tensor_type, tuple(tensor.shape[::-1].tolist()))
        assert our.raw.tobytes() == tensor.data.tobytes()
