"""``groundup quantize``: the files it writes, and what it says when it does not."""

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from groundup.cli import main
from groundup.cli.quantize import packaged_text
from groundup.models.gguf import GGMLType, read_gguf
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_gguf import llama_from_gguf
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.models.load import load_model
from groundup.quantization import quantize_model as room
from groundup.tokenizers.gguf_to_json import gguf_tokenizer_files


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as raised:
        main(["quantize", *map(str, arguments)])
    assert raised.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def quantize(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as raised:  # what a command of Typer ends by
        main(["quantize", *map(str, arguments)])
    assert raised.value.code == 0


@pytest.fixture(scope="module")
def folder(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in Hugging Face's layout."""
    path = tmp_path_factory.mktemp("folder")
    file = read_gguf(Path(tiny_model))
    llama_to_hugging_face(llama_from_gguf(file), path)
    for name, content in gguf_tokenizer_files(file.metadata).items():
        (path / name).write_text(json.dumps(content))
    return path


def test_a_gguf_file_keeps_its_metadata(
    tiny_model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "m.gguf"
    text.write_text("One and one are two. " * 500)
    more: list[str | Path] = [
        "--calibration",
        text,
        "--calibration-tokens",
        "2048",
        "--text",
        text,
        "--tokens",
        "40",
    ]
    quantize(tiny_model, "-o", out, "--method", "gptq", *more)
    before, after = read_gguf(Path(tiny_model)), read_gguf(out)
    for key, value in before.stored.items():
        assert after.stored[key] == value, key
    assert after.metadata["general.file_type"] == 2
    assert after.tensors["blk.0.ffn_down.weight"].type is GGMLType.Q4_0
    shown = capsys.readouterr().err
    assert "bits a weight" in shown
    assert "%)" in shown
    assert "are Q4_0 already" in complaint(capsys, out, "-o", tmp_path / "again.gguf")


@pytest.mark.parametrize("method", ["nf4", "awq"])
def test_a_folder_opens_where_a_model_is_asked_for(
    method: str,
    tiny_model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bool] = []

    def text(*, odd: bool = False) -> str:
        read.append(odd)
        return packaged_text(odd=odd)

    monkeypatch.setattr(sys.modules[packaged_text.__module__], "packaged_text", text)
    out = tmp_path / method
    quantize(tiny_model, "-o", out, "--method", method, "--calibration-tokens", "2048",
             "--tokens", "0")  # fmt: skip
    # The lessons that it is calibrated on, then the others, to measure.
    assert read == {"nf4": [True], "awq": [False, True]}[method]
    plain, loaded = load_model(tiny_model), load_model(str(out))
    words = "<|im_start|>It's 2 words."
    assert loaded.tokenizer.encode(words) == plain.tokenizer.encode(words)
    assert loaded.tokenizer.eos_ids == plain.tokenizer.eos_ids
    assert "is quantised already" in complaint(capsys, out, "-o", tmp_path / "m.gguf")


def test_a_folder_becomes_a_gguf_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    quantize(folder, "-o", out, "--method", "int8", "--tokens", "0")
    loaded, plain = load_model(str(out)), load_model(str(folder))
    messages = [{"role": "user", "content": "Hi"}]
    assert loaded.tokenizer.encode_chat(messages) == plain.tokenizer.encode_chat(messages)
    assert loaded.model.config.heads == plain.model.config.heads
    name = "layers.0.self_attn.q_proj.weight"
    off = loaded.model.get_parameter(name).float() - plain.model.get_parameter(name).float()
    assert off.abs().max() < 0.05


def test_what_is_refused(
    tiny_model: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "m.gguf"
    assert "there is no method 'q9': choose one of int8, llm-int8, smoothquant" in complaint(
        capsys, tiny_model, "-o", out, "--method", "q9"
    )
    assert "GGUF has no form for nf4" in complaint(capsys, tiny_model, "-o", out, "--method", "nf4")
    assert "groups have 32 weights" in complaint(capsys, tiny_model, "-o", out, "--group", "64")
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    said = complaint(capsys, tiny_model, "-o", out, "--calibration", short)
    assert "has 3 tokens, expected at least 2,048: name a longer one by --calibration" in said
    short.write_bytes(b"\xff")
    assert "as text in UTF-8" in complaint(capsys, tiny_model, "-o", out, "--calibration", short)
    assert "is there already: --overwrite" in complaint(capsys, tiny_model, "-o", short)
    experts = tmp_path / "experts"
    llama_to_hugging_face(Llama(LlamaConfig(49152, 32, 32, 1, 4, 2, 8, 64, experts=2)), experts)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, experts)
    said = complaint(capsys, experts, "-o", out, "--calibration", short)  # which is not read
    assert f"{experts} has experts, which are not quantised: choose one without" in said
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1, 1, 10**6))
    said = complaint(capsys, tiny_model, "-o", out, "--method", "int8")
    assert "has 1 MB left, and the model may take 3: make room" in said
    assert not out.exists()


def test_ctrl_c_leaves_nothing(
    tiny_model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "quantize_model", interrupted)
    with pytest.raises(SystemExit) as raised:
        main(
            ["quantize", tiny_model, "-o", str(tmp_path / "m"), "--tokens", "0", "--method", "int4"]
        )
    assert raised.value.code == 130
    assert "Interrupted. Nothing was written." in capsys.readouterr().err
    monkeypatch.undo()
    read, done = room.read, []

    def stopped(*given: Any) -> Any:
        done.append(given)
        if len(done) == 2:  # the first block is quantised, and read once more
            raise KeyboardInterrupt
        return read(*given)

    monkeypatch.setattr(room, "read", stopped)
    command = ["quantize", tiny_model, "-o", str(tmp_path / "m"), "--tokens", "0",
               "--calibration-tokens", "2048"]  # fmt: skip
    with pytest.raises(SystemExit):
        main(command)
    said = " ".join(capsys.readouterr().err.split())
    assert "Nothing was written. The same command goes on with the blocks in" in said
    assert [path.name for path in tmp_path.iterdir()] == ["m.unfinished"]
    quantize(*command[1:])
    assert "1 of 1 blocks are there from a stopped run." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_the_lessons_that_are_measured_are_not_those_of_the_calibration() -> None:
    read, measured = (
        {part for part in packaged_text(odd=odd).split("\n\n") if len(part) > 200}
        for odd in (False, True)
    )
    assert min(len(read), len(measured)) > 50
    assert read.isdisjoint(measured)
