"""``groundup up``: where it listens, what it refuses, how it ends."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from groundup.cli import main
from groundup.cli.up import next_free
from groundup.errors import GroundupError


def taken() -> socket.socket:
    """A port that something listens on."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["up", "--no-open", *arguments])
    assert caught.value.code == 1
    return capsys.readouterr().err


def test_a_port_that_is_taken_is_told_with_one_that_is_free(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(taken()) as listener:
        port = listener.getsockname()[1]
        said = refused(capsys, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert f"Free: --port {next_free('127.0.0.1', port + 1)}" in said
    assert len(said.splitlines()) == 1


def test_the_next_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(taken()) as listener:
        port = listener.getsockname()[1]
        assert port < next_free("127.0.0.1", port) <= port + 19
        monkeypatch.setattr(sys.modules["groundup.cli.up"], "PORTS_TRIED", 1)
        with pytest.raises(GroundupError, match="taken: name another with --port"):
            next_free("127.0.0.1", port)


def test_a_database_that_is_none(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--database", "mysql://user:secret@host/name")
    assert "postgresql://" in said
    assert "secret" not in said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_its_life(
    how: signal.Signals,
    own_home: Path,
    environment: Callable[[], dict[str, str]],
    tmp_path: Path,
    tiny_model: str,
) -> None:
    """It serves pages while it loads the model, and leaves no process behind."""
    with (tmp_path / "said").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "groundup", "up", "--no-open", "--model", tiny_model],
            env=environment(), stderr=subprocess.PIPE, stdout=said, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "groundup is at http://127.0.0.1:" in line
        url = line.split()[3]
        page = httpx.get(url, follow_redirects=True, timeout=30)
        assert page.status_code == 200
        assert "groundup" in page.text
        deadline = time.monotonic() + 60
        while not (started := psutil.Process(process.pid).children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(how)
        process.wait(60)
        rest = process.stderr.read()
        process.stderr.close()
        said.seek(0)
        assert (process.returncode, rest, said.read()) == (0, "", "")
    assert not psutil.wait_procs(started, timeout=10)[1]
    assert (own_home / "app").stat().st_mode & 0o777 == 0o700
