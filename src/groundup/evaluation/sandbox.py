"""Runs programs that a model wrote, each in a process of its own that can do little."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import groundup
from groundup.errors import GroundupError
from groundup.evaluation.seccomp import has_seccomp

__all__ = ["Outcome", "run_program"]

GRACE = 10.0  # seconds beyond its own that a program may sleep or wait for a processor
MEMORY = 512 << 20  # bytes beyond the interpreter's own
REPORT = 4096  # bytes
# The interpreter starts without installed packages, and heeds neither folder nor environment.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop()); "
    "from groundup.evaluation.sandboxed import main; del sys.path[0]; main()"
)


@dataclass(frozen=True)
class Outcome:
    """What came of a program."""

    passed: bool
    reason: str  # "passed", or what it ended with


def run_program(
    program: str, *, seconds: int = 3, memory: int = MEMORY, confined: bool = True
) -> Outcome:
    """Run a program to its end, with nothing but Python's own library.

    It has passed if it came to its end: a program that tests something raises where it is wrong. It
    has no standard input, what it prints is lost, and its folder is empty. Its processor time and
    its memory are limited, and it is ended when it does nothing for `GRACE` seconds.

    Args:
        program: its source.
        seconds: of processor time.
        memory: bytes.
        confined: it can write no file, reach no network and start no process (`seccomp`). Without
            this, it can do what its user can do.

    Raises:
        GroundupError: ``confined``, and the system has no filters of system calls.
    """
    if confined and not has_seccomp():
        raise GroundupError(
            "this system cannot confine programs that a model writes (Linux on x86_64 or aarch64 "
            "can): run this in a virtual machine or container that you can lose, with --unconfined"
        )
    token = secrets.token_hex(16)
    request = {
        "program": program, "seconds": seconds, "memory": memory, "file_size": REPORT,
        "confined": confined, "token": token,
    }  # fmt: skip
    source = str(Path(groundup.__file__).parents[1])
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    with tempfile.TemporaryFile() as report, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-S", "-B", "-c", START, str(report.fileno()), source]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(report.fileno(),),
            cwd=folder,
            env=kept,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(request).encode(), timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            return Outcome(False, f"it did nothing for {GRACE:g} seconds")
        finally:
            with suppress(ProcessLookupError, PermissionError):  # nothing is left of its group
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        report.seek(0)
        found = report.read(REPORT).decode("utf-8", "replace")
    if found.startswith(token):
        reason = found.removeprefix(token)
        return Outcome(reason == "passed", reason)
    if process.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        return Outcome(False, f"it took more than {seconds} seconds")
    if process.returncode < 0:
        return Outcome(False, f"it was ended by signal {-process.returncode}")
    return Outcome(False, f"it ended its process, with status {process.returncode}")
