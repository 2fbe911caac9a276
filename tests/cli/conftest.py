"""Runs commands as a user does: in processes of their own, and in a terminal."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Environment = Callable[[], dict[str, str]]


@pytest.fixture
def run(tmp_path: Path, own_home: Path, environment: Environment) -> Run:
    """``run("check", "attention", stdin=..., VARIABLE=...)``, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()

    def command(
        *arguments: str, stdin: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "groundup", *arguments],
            input=stdin,
            env=environment() | more,
            cwd=here,
            capture_output=True,
            timeout=180,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return command


@pytest.fixture
def terminal(
    tmp_path: Path, own_home: Path, environment: Environment
) -> Iterator[Callable[..., pexpect.spawn]]:
    """``terminal("chat")``: the command in a terminal of 80 columns; each wait is limited."""
    started: list[pexpect.spawn] = []

    def command(*arguments: str) -> pexpect.spawn:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "groundup", *arguments],
            env=environment(),
            cwd=str(tmp_path),
            encoding="utf-8",
            codec_errors="replace",
            timeout=120,
            dimensions=(40, 80),
        )
        started.append(child)
        return child

    yield command
    for child in started:
        child.close(force=True)
