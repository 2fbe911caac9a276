"""``groundup tokenizer``: trains, encodes, decodes, and says what is wrong."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from groundup.cli import main
from tokenizers import Tokenizer

TEXT = "the cat sat on the mat, and the other cat sat on the other mat.\n" * 50


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The exit status of a command, and what it wrote."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])  # the commands put a finder there
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["tokenizer", *arguments])
        code = left.value.code
        written = capsys.readouterr()
        return (code if isinstance(code, int) else 0), written.out, written.err

    return command


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_train_encode_decode(
    kind: str, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "made"
    corpus.mkdir()
    (corpus / "a.txt").write_text(TEXT)
    (corpus / "b.txt").write_text(TEXT.replace("cat", "rat"))
    (corpus / "c.bin").write_bytes(b"\xff\xfe\x00")
    arguments = ("train", str(corpus), "--kind", kind, "--vocab-size", "300", "-o", str(out))

    status, _, said = run(*arguments)
    assert (status, "c.bin is not UTF-8" in said) == (1, True)
    assert not out.exists()
    status, _, said = run(*arguments, "--files", "*.txt", "--special", "<|end|>")
    assert (status, "tokens:" in said) == (0, True)

    theirs = Tokenizer.from_file(str(out / "tokenizer.json"))
    text = "the rat sat<|end|>"
    status, written, _ = run("encode", str(out), text, "--ids")
    ids = [int(i) for i in written.split()]
    assert (status, ids) == (0, theirs.encode(text).ids)
    status, written, _ = run("encode", str(out / "tokenizer.json"), "the rat")
    assert status == 0
    assert all(name in written for name in ("id", "token", "start", "end", "bytes a token"))
    status, written, _ = run("decode", str(out), *map(str, ids), "--skip-special")
    assert (status, written) == (0, "the rat sat\n")

    assert run(*arguments)[0] == 1  # it is there already
    status, _, said = run(*arguments, "--files", "*.txt", "--overwrite")
    assert status == 0
    if kind == "bpe":
        assert "The corpus has no more; 300 were asked for" in said


def test_what_is_wrong_is_said(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    corpus, out = tmp_path / "a.txt", str(tmp_path / "out")
    corpus.write_text(TEXT)
    for arguments, complaint in [
        (("train", str(tmp_path / "none"), "-o", out), "does not exist, expected a text file"),
        (("train", str(corpus), "-o", out, "--vocab-size", "100"), "expected at least 257"),
        (("train", str(corpus), "-o", out, "--files", "*.md", "--kind", "x"), "Invalid value"),
        (("encode", str(tmp_path), "a"), "has no tokenizer.json"),
        (("encode", str(tmp_path / "none.json"), "a"), "there is no"),
    ]:
        status, _, said = run(*arguments)
        assert status != 0
        assert complaint in said
    corpus.write_text("")
    status, _, said = run("train", str(corpus), "-o", out)
    assert (status, "the corpus has no words" in said) == (1, True)
    assert not Path(out).exists()


def test_an_id_that_is_none(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    corpus, out = tmp_path / "a.txt", tmp_path / "one.json"
    corpus.write_text(TEXT)
    assert run("train", str(corpus), "-o", str(out), "--vocab-size", "260")[0] == 0
    assert len(json.loads(out.read_text())["model"]["vocab"]) == 260
    status, _, said = run("decode", str(out), "5000")
    assert (status, "the id 5000 has no token" in said) == (1, True)


def test_ctrl_c_ends_training_and_leaves_nothing(
    tmp_path: Path, environment: Callable[[], dict[str, str]]
) -> None:
    corpus, out = tmp_path / "a.txt", tmp_path / "out"
    line = " ".join(f"{i * 7919 % 10**9:x}" for i in range(200_000))
    corpus.write_text("\n".join([line] * 40))
    command = [sys.executable, "-m", "groundup", "tokenizer", "train", str(corpus), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--vocab-size", "100000"], env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        running = psutil.Process(process.pid)
        while not (running.children() or str(corpus) in {f.path for f in running.open_files()}):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted. Nothing was written." in said
    assert "Traceback" not in said
    assert not out.exists()
