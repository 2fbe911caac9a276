"""A ``groundup up`` of the tests' own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from groundup.home import home

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Site:
    """A running ``groundup up``."""

    url: str
    home: Path  # its $GROUNDUP_HOME
    workspace: Path  # its $GROUNDUP_WORKSPACE; there once something made it
    process: subprocess.Popen[str]


def start_site(folder: Path, model: str, *options: str) -> AbstractContextManager[Site]:
    """``groundup up`` with a home and a workspace of its own, until the end of the block."""
    command = [sys.executable, "-m", "groundup", "up", "--no-open", "--model", model, *options]
    return _running(folder, command)


def start_echo_site(folder: Path) -> AbstractContextManager[Site]:
    """The app on a model that repeats what it is told: see `echo_site`."""
    app = folder / "home" / "app"
    return _running(folder, [sys.executable, "-m", "tests.app.browser.echo_site", str(app)])


@contextmanager
def _running(folder: Path, command: list[str]) -> Iterator[Site]:
    own = folder / "home"
    own.mkdir(parents=True, exist_ok=True)
    if not (own / "models").exists():
        (own / "models").symlink_to((home() / "models").resolve())
    workspace = folder / "workspace"
    environment = {
        **os.environ, "GROUNDUP_HOME": str(own), "GROUNDUP_WORKSPACE": str(workspace),
        "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    with (folder / "up.log").open("a+") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stderr=subprocess.PIPE, stdout=log, text=True
        )  # fmt: skip
        assert process.stderr is not None
        try:
            said = ""
            while not (found := re.search(r"http://\S+", said)):
                line = process.stderr.readline()
                assert line, f"it ended: {said}"
                said += line
            # What it says from now on goes to the log; a full pipe would stop it.
            copying = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
            yield Site(found[0], own, workspace, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stderr.close()
        copying.wait(10)
