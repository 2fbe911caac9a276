"""Asks the warm grader to check a file, and starts it where it does not run. Imports no torch."""

import fcntl
import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import groundup
from groundup.course.grader.result import CheckResult
from groundup.course.parts.table import PARTS, Part
from groundup.errors import GroundupError

__all__ = ["GraderAddress", "grade", "grader_address"]

START_SECONDS = 120.0  # importing torch from a cold disk
ANSWER_SECONDS = 60.0  # for one check; its own limit is far shorter


@dataclass(frozen=True)
class GraderAddress:
    """Where a grader listens, and what belongs to it."""

    socket: Path

    @property
    def lock(self) -> Path:
        return self.socket.with_suffix(".lock")

    @property
    def log(self) -> Path:
        return self.socket.with_suffix(".log")


def grader_address() -> GraderAddress:
    """The address of the grader of this very code: another version has another address.

    Raises:
        GroundupError: the folder for sockets belongs to somebody else, or others may enter it.
    """
    # Short, because the path of a socket may have about a hundred bytes.
    choices = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    place = next((p for p in choices if 0 < len(p) < 50 and os.access(p, os.W_OK)), choices[-1])
    folder = Path(place) / f"groundup-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise GroundupError(f"{folder} is not a folder of yours alone: remove it and try again")
    return GraderAddress(folder / f"grader-{_environment()}-{_fingerprint()}.sock")


def _environment() -> str:
    return hashlib.sha256(sys.executable.encode()).hexdigest()[:8]


def _fingerprint() -> str:
    """Differs when the code that the grader holds in memory has changed."""
    course = Path(groundup.__file__).parent / "course"
    files = [*sorted(course.rglob("*.py")), *(part.reference for part in PARTS.values())]
    facts = [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def grade(
    part: Part, file: Path, *, seconds: float = 5.0, starting: Callable[[], None] = lambda: None
) -> Iterator[CheckResult]:
    """Yield the result of each check of ``file`` as it comes.

    Where forking a process that has imported torch is safe (Linux) a warm grader answers, and is
    started by the first call; ``starting`` is called before that wait. Elsewhere each check starts
    an interpreter of its own.

    Raises:
        GroundupError: the grader cannot be started, or stops answering.
    """
    file = file.resolve()
    if sys.platform != "linux":
        from groundup.course.grader.judge import judge

        yield from judge(part.id, file, seconds=seconds, start="spawn")
        return
    address = grader_address()
    request = {"part": part.id, "file": str(file), "seconds": seconds}
    with _connect(address, starting) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if not answer:
                        return
                    yield CheckResult(**answer)
        except (TimeoutError, ConnectionError):
            pass  # told below, as is a connection that was closed before the end
    raise GroundupError(
        f"the grader stopped before it had finished: see {address.log}, and run the check again"
    )


def _connect(address: GraderAddress, starting: Callable[[], None]) -> socket.socket:
    connection = _try(address)
    if connection is not None:
        return connection
    starting()
    with address.lock.open("w") as lock:  # of several that find none, one starts it
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GroundupError("another process has been starting the grader for too "
                                        f"long: remove {address.lock}") from None  # fmt: skip
                time.sleep(0.05)
        connection = _try(address)
        if connection is not None:
            return connection
        # A grader that holds older code ends when its address is gone.
        for stale in address.socket.parent.glob(f"grader-{_environment()}-*"):
            if stale.stem != address.socket.stem:
                stale.unlink(missing_ok=True)
        with address.log.open("w") as log:
            # -P: a learner's file in the current folder must not stand for a library's module.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "groundup.course.grader.server", str(address.socket)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while time.monotonic() < deadline and process.poll() is None:
            connection = _try(address)
            if connection is not None:
                return connection
            time.sleep(0.02)
    last = address.log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
    raise GroundupError(f"the grader could not be started ({last or 'no reason given'}): "
                        f"see {address.log}")  # fmt: skip


def _try(address: GraderAddress) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection
