"""What our writer writes, the `gguf` package reads, and we do; what was read is written again."""

import errno
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType

from groundup.errors import GroundupError
from groundup.models.gguf import GGMLType, GGUFTensor, read_gguf
from groundup.models.gguf_writer import write_gguf


def tensor(name: str, array: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> GGUFTensor:
    raw = np.frombuffer(array.tobytes(), np.uint8)
    return GGUFTensor(name, array.shape, GGMLType.F32, raw)


def test_values_of_every_kind_are_read_by_the_package(tmp_path: Path) -> None:
    values = {
        "general.architecture": "llama",
        "a.yes": True,
        "a.whole": 2**32 - 1,
        "a.float": -0.5,
        "a.text": "Ġé\n",
        "a.texts": ["", "x", "日本"],
        "a.ints": np.array([-1, 5], np.int32),
        "a.floats": np.array([0.25], np.float64),
        "a.bools": np.array([True, False]),
    }
    arrays = {"one": np.arange(6, dtype=np.float32).reshape(2, 3), "two": np.ones(7, np.float32)}
    path = tmp_path / "m.gguf"
    write_gguf(path, values, [tensor(name, array) for name, array in arrays.items()])
    theirs = GGUFReader(path)
    for key, value in values.items():
        got = theirs.fields[key].contents()
        assert got == (value.tolist() if isinstance(value, np.ndarray) else value), key
    assert theirs.fields["a.whole"].types == [GGUFValueType.UINT32]
    assert theirs.fields["a.float"].types == [GGUFValueType.FLOAT32]
    for found, (name, array) in zip(theirs.tensors, arrays.items(), strict=True):
        assert found.name == name
        np.testing.assert_array_equal(found.data, array)
    ours = read_gguf(path).metadata
    assert ours["a.texts"] == values["a.texts"]


@pytest.mark.parametrize("alignment", [None, 8, 256])
def test_what_was_read_is_written_byte_for_byte(alignment: int | None, tmp_path: Path) -> None:
    """Types that Python's numbers do not tell apart, and bytes that are no text, come back."""
    writer = gguf.GGUFWriter(tmp_path / "theirs.gguf", "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    for i, kind in enumerate(GGUFValueType):
        if kind not in (GGUFValueType.ARRAY, GGUFValueType.STRING):
            writer.add_key_value(f"v{i}", 1, kind)
    strings = [b"\xff", "é".encode()]
    writer.add_key_value("s", strings, GGUFValueType.ARRAY, GGUFValueType.STRING)
    writer.add_key_value("n", [[1, 2], [3]], GGUFValueType.ARRAY, GGUFValueType.ARRAY)
    writer.add_tensor("one", np.arange(5, dtype=np.float32))
    writer.add_tensor("two", np.arange(6, dtype=np.float32).reshape(3, 2))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = read_gguf(tmp_path / "theirs.gguf")
    write_gguf(tmp_path / "ours.gguf", file.stored, file.tensors.values())
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, one = tmp_path / "m.gguf", tensor("one", np.ones(4, np.float32))
    for value in (-1, 2**32, None, [1], np.ones((2, 2)), 1j):
        with pytest.raises(ValueError, match=r"(?s)k is .*, expected a bool"):
            write_gguf(path, {"k": value}, [])
    short = GGUFTensor("w", (2, 32), GGMLType.Q8_0, np.zeros(67, np.uint8))
    with pytest.raises(ValueError, match="multiple of 32 and 68 bytes, got 67"):
        write_gguf(path, {}, [short])
    with pytest.raises(ValueError, match="name of its own"):
        write_gguf(path, {}, [one, one])
    path.write_text("old")
    full = OSError(errno.ENOSPC, "No space left on device")

    def no_room(self: Path, target: Path) -> None:
        raise full

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(GroundupError, match=r"cannot write .*: No space left on device; make room"):
        write_gguf(path, {}, [one])
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]
    assert path.read_text() == "old"
