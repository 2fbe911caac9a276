"""Runs every check of a part on a file, each in a process of its own, and reads their results.

This process never runs a learner's code.
"""

import json
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from groundup.course.grader import child
from groundup.course.grader.result import CheckResult

__all__ = ["CHECK_SECONDS", "judge"]

CHECK_SECONDS = 5.0  # for one check; the references take some milliseconds
GRACE = 2.0  # for a process to write its stack and end
PRINTED = 4000  # characters kept of what a learner's code prints

Start = Literal["fork", "spawn"]


def judge(
    part_id: str,
    file: Path,
    *,
    seconds: float = CHECK_SECONDS,
    start: Start = "fork",
    gone: Callable[[], bool] = lambda: False,
) -> Iterator[CheckResult]:
    """Yield the result of each check, in order.

    A fatal result (the file cannot be loaded, a check hung or ended its process) is the last one.

    Args:
        part_id: of the parts table.
        file: the learner's.
        seconds: the limit of one check.
        start: fork this process, which has imported torch but never used it, or start a new
            interpreter for each check (macOS cannot fork such a process safely).
        gone: says that nobody waits for the results any more.
    """
    names = child.check_names(child.load_checks(part_id))
    if not names:
        raise ValueError(f"the part {part_id} has no checks")
    for name in names:
        result = _one(part_id, name, file, seconds, start, gone)
        yield result
        if result.status == "fatal":
            return


def _one(
    part_id: str, name: str, file: Path, seconds: float, start: Start, gone: Callable[[], bool]
) -> CheckResult:
    token = secrets.token_hex(16)
    answer, write_end = os.pipe()
    with tempfile.TemporaryFile() as hang, tempfile.TemporaryFile() as printed:
        pid = _start(part_id, name, file, seconds, start, write_end, hang, printed, token)
        os.close(write_end)
        try:
            limit = seconds + GRACE + (30 if start == "spawn" else 0)  # an interpreter's start
            received = _read(answer, limit, gone)
        finally:
            os.close(answer)
            _kill(pid)
            _, status = os.waitpid(pid, 0)
        result = _interpret(received, token, name, part_id, status, _content(hang), file, seconds)
        return CheckResult(**(result.to_json() | {"printed": _content(printed)[:PRINTED]}))


def _start(
    part_id: str, name: str, file: Path, seconds: float, start: Start,
    answer: int, hang: IO[bytes], printed: IO[bytes], token: str,
) -> int:  # fmt: skip
    """The id of a process that runs the check, the leader of a new session."""
    if start == "spawn":
        request = {"part": part_id, "check": name, "file": str(file), "seconds": seconds}
        request |= {"answer": answer, "hang": hang.fileno(), "token": token}
        return subprocess.Popen(
            [sys.executable, "-m", "groundup.course.grader.child", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=(answer, hang.fileno()),
            start_new_session=True,
        ).pid
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            devnull = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((devnull, 0), (printed.fileno(), 1), (printed.fileno(), 2)):
                os.dup2(source, target)
            child.run(part_id, name, file, seconds, answer, hang.fileno(), token)
        finally:  # nothing of the parent may go on here, whatever happened
            os._exit(70)
    return pid


def _read(descriptor: int, limit: float, gone: Callable[[], bool]) -> bytes:
    """What arrives until the other end closes, the time is over, or nobody waits any more."""
    deadline = time.monotonic() + limit
    received = b""
    while (left := deadline - time.monotonic()) > 0 and not gone():
        ready, _, _ = select.select([descriptor], [], [], min(left, 0.2))
        if ready:
            piece = os.read(descriptor, 65536)
            if not piece:
                break
            received += piece
    return received


def _kill(pid: int) -> None:
    """End the process and whatever it started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # it ended by itself, or (killpg) has not become a leader yet


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1 << 20).decode("utf-8", "replace")


def _interpret(
    received: bytes, token: str, name: str, part_id: str, status: int, stack: str, file: Path,
    seconds: float,
) -> CheckResult:  # fmt: skip
    line = received.decode("utf-8", "replace")
    if line.startswith(token) and line.endswith("}\n"):
        try:
            return CheckResult(**json.loads(line.removeprefix(token)))
        except (json.JSONDecodeError, TypeError):
            pass  # the token, and then not a result: treated as tampering below
    function = getattr(child.load_checks(part_id), name)
    title = (function.__doc__ or name).strip().splitlines()[0].rstrip(".")
    if received:
        message = "the code wrote to the grader's own channel: what it claims there is ignored"
    elif stack:
        message = f"the code did not finish within {seconds:g} seconds{_line_of(stack, file)}"
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        message = f"the code's process was ended by {signal.Signals(number).name}" + (
            ": it took too much memory or time" if number in (signal.SIGKILL, signal.SIGXCPU) else ""
        )
    else:
        message = (
            f"the code ended its process (exit status {os.WEXITSTATUS(status)}) before the check "
            f"was over: a part may not call os._exit"
        )
    return CheckResult(name, title, "fatal", message, seconds=seconds if stack else 0.0)


def _line_of(stack: str, file: Path) -> str:
    """The innermost line of the learner's file in a stack, the most recent call first."""
    found = re.search(rf'File "{re.escape(str(file))}", line (\d+) in (\S+)', stack)
    if found is None:
        return ""
    number, function = int(found[1]), found[2]
    text = file.read_text("utf-8", "replace").splitlines()[number - 1].strip()
    return f"\n  it hung at line {number} of {file.name}, in {function}: {text}"
