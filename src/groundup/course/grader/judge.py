"""Runs every check of a part on a file, each in a process of its own, and reads their results.

This process never runs a learner's code.
"""

import json
import os
import re
import secrets
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal

from groundup.course.grader import child
from groundup.course.grader.result import CheckResult

__all__ = ["CHECK_SECONDS", "judge"]

CHECK_SECONDS = 5.0  # for one check; the references take some milliseconds
GRACE = 2.0  # for a process to write its stack and end
SPAWN = 30.0  # for an interpreter to start
AT_ONCE = 2  # processes: the system takes as long to make and remove one as a check takes
POLL = 0.001
PRINTED = 4000  # characters kept of what a learner's code prints
READ = 1 << 20  # bytes read of what a process left

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
    checks = child.load_checks(part_id)
    names = deque(child.check_names(checks))
    if not names:
        raise ValueError(f"the part {part_id} has no checks")
    child.prepare(part_id)
    running: deque[_Process] = deque()
    try:
        while names or running:
            while names and len(running) < AT_ONCE:
                name = names.popleft()
                blank = CheckResult(name, child.title_of(getattr(checks, name)), "fatal")
                running.append(_Process(part_id, blank, file, seconds, start))
            result = running[0].result(gone)
            running.popleft().end()
            yield result
            if result.status == "fatal":
                return
    finally:
        for process in running:
            process.end()


class _Process:
    """The process of one check, the leader of a new session."""

    def __init__(
        self, part_id: str, blank: CheckResult, file: Path, seconds: float, start: Start
    ) -> None:
        self._part_id, self._blank, self._file, self._seconds = part_id, blank, file, seconds
        self._token = secrets.token_hex(16)
        self._deadline = time.monotonic() + seconds + GRACE + (SPAWN if start == "spawn" else 0)
        self._report: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end)
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._status: int | None = None  # as `os.waitpid` gives it, once the process has ended
        self._pid = self._spawn() if start == "spawn" else self._fork()

    def _descriptors(self, stdin: int) -> list[tuple[int, int]]:
        """What each descriptor of the process is here. None that is needed lies below its place."""
        printed, report = self._printed.fileno(), self._report.fileno()
        return [(stdin, 0), (printed, 1), (printed, 2), (report, child.REPORT)]

    def _fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                for here, there in self._descriptors(os.open(os.devnull, os.O_RDONLY)):
                    os.dup2(here, there)
                # The connection to whoever asked is among the rest.
                os.closerange(child.REPORT + 1, os.sysconf("SC_OPEN_MAX"))
                check = self._blank.check
                child.run(self._part_id, check, self._file, self._seconds, self._token)
            finally:  # nothing of the parent may go on here, whatever happened
                os._exit(70)
        return pid

    def _spawn(self) -> int:
        request = {
            "part": self._part_id,
            "check": self._blank.check,
            "file": str(self._file),
            "seconds": self._seconds,
            "token": self._token,
        }
        stdin, write_end = os.pipe()
        os.write(write_end, json.dumps(request).encode())
        os.close(write_end)
        try:
            return os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", child.__name__],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, *pair) for pair in self._descriptors(stdin)],
                setsid=True,
            )
        finally:
            os.close(stdin)

    def result(self, gone: Callable[[], bool]) -> CheckResult:
        """Wait until the process has ended, its time is over or nobody waits; then judge it."""
        while self._status is None and time.monotonic() < self._deadline and not gone():
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                self._status = status
            else:
                time.sleep(POLL)
        result = self._interpret(_content(self._report))
        return replace(result, printed=_content(self._printed)[:PRINTED])

    def end(self) -> None:
        """End the process and whatever it started."""
        with suppress(ProcessLookupError, PermissionError):  # no group, or nothing left in it
            os.killpg(self._pid, signal.SIGKILL)
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)  # it may not lead a group yet
            _, self._status = os.waitpid(self._pid, 0)
        self._report.close()
        self._printed.close()

    def _interpret(self, report: str) -> CheckResult:
        if report.startswith(self._token):
            with suppress(json.JSONDecodeError, TypeError):  # not a result: tampering, as below
                return CheckResult(**json.loads(report.removeprefix(self._token)))
        if self._status is None or report.startswith("Timeout ("):
            message = f"the code did not finish within {self._seconds:g} seconds"
            message += _line_of(report, self._file)
        elif report:
            message = "the code wrote to the grader's own channel: what it claims there is ignored"
        elif os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            message = f"the code's process was ended by signal {number}, {signal.strsignal(number)}"
            if number in (signal.SIGKILL, signal.SIGXCPU):
                message += ": it took too much memory or time"
        elif os.WEXITSTATUS(self._status) == child.LOST:
            message = "the code closes a file that is not its own: the grader's channel is gone"
        else:
            message = (
                f"the code ended its process (exit status {os.WEXITSTATUS(self._status)}) before "
                f"the check was over: a part may not call os._exit"
            )
        return replace(self._blank, message=message)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(READ).decode("utf-8", "replace")


def _line_of(stack: str, file: Path) -> str:
    """The innermost line of the learner's file in the main thread, which comes last in a stack."""
    main = stack.rpartition("Thread 0x")[2]
    shown = str(file).encode("ascii", "backslashreplace").decode()  # as faulthandler writes it
    found = re.search(rf'File "{re.escape(shown)}", line (\d+) in (\S+)', main)
    if found is None:
        return ""
    number, text = int(found[1]), ""
    with suppress(OSError, IndexError):  # the file may have changed since
        text = file.read_text("utf-8", "replace").splitlines()[number - 1].strip()
    return f"\n  it hung at line {number} of {file.name}, in {found[2]}: {text}"
