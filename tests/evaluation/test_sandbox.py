"""What a program in the sandbox can do: compute and read."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.evaluation import sandbox
from groundup.evaluation.sandbox import Outcome, run_program
from groundup.evaluation.seccomp import has_seccomp

confining = pytest.mark.skipif(not has_seccomp(), reason="this system has no seccomp filters")


@pytest.fixture(name="outside")
def outside_fixture(tmp_path: Path) -> Path:
    """A folder of the user's, with a file."""
    (tmp_path / "file").write_text("kept")
    return tmp_path


@pytest.fixture(name="listening")
def listening_fixture() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


@confining
@pytest.mark.parametrize(
    "program",
    [
        "assert sorted([3, 1, 2]) == [1, 2, 3]",
        "import math, re, random, datetime, decimal, hashlib, json, collections, typing\n"
        "assert hashlib.md5(b'').hexdigest().startswith('d41d') and random.random() < 1",
        "print('x' * 10_000_000)",  # what it prints is lost, and no limit of its own
        "import time; time.sleep(0.01)",
        "import os; assert os.listdir('.') == [] and os.environ.get('HOME') is None",
        "import sys; assert sys.stdin.read() == ''",
    ],
)
def test_a_program_that_computes_passes(program: str) -> None:
    assert run_program(program) == Outcome(True, "passed")


@confining
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'unequal'", "AssertionError: unequal"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "it ended its process, with status 0"),
        ("raise BaseException('x')", "BaseException: x"),
        ("raise type('passed', (Exception,), {})", "passed: "),
        (
            "import os, contextlib\nfor fd in range(3, 99):\n"
            "    with contextlib.suppress(OSError): os.write(fd, b'passed')\n"
            "os._exit(0)",
            "it ended its process",
        ),
        ("def f(): f()\nf()", "RecursionError"),
        ("x = bytearray(1 << 30)", "MemoryError"),
        ("x = []\nwhile True: x.append(bytearray(1 << 20))", "MemoryError"),
        ("import ctypes; ctypes.string_at(0)", "it was ended by signal 11"),
        ("import numpy", "ModuleNotFoundError"),  # only Python's own library is there
        ("raise Exception('\\ud800' * 9999)", "Exception: ???"),
    ],
)
def test_a_program_that_does_not_come_to_its_end_has_failed(program: str, reason: str) -> None:
    outcome = run_program(program)
    assert not outcome.passed
    assert outcome.reason.startswith(reason)
    assert len(outcome.reason) <= 500


@confining
@pytest.mark.parametrize(
    "act",
    [
        "open(OUTSIDE + '/new', 'w')",
        "open(OUTSIDE + '/file', 'a').write('more')",
        "open(OUTSIDE + '/file', 'r+').write('more')",
        "os.open(OUTSIDE + '/new', os.O_CREAT)",
        "os.open(OUTSIDE + '/file', os.O_WRONLY)",
        "os.remove(OUTSIDE + '/file')",
        "os.rename(OUTSIDE + '/file', OUTSIDE + '/other')",
        "os.mkdir(OUTSIDE + '/folder')",
        "os.symlink('/', OUTSIDE + '/link')",
        "os.link(OUTSIDE + '/file', OUTSIDE + '/link')",
        "os.chmod(OUTSIDE + '/file', 0)",
        "os.truncate(OUTSIDE + '/file', 0)",
        "os.utime(OUTSIDE + '/file', (0, 0))",
        "open('here', 'w')",
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', PORT), 1)",
        "socket.socketpair()",
        "os.fork()",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.kill(PARENT, 0)",
        "resource.prlimit(0, resource.RLIMIT_CPU, (999, 999))",
        "check(libc.syscall(425, 8, ctypes.create_string_buffer(120)))",  # io_uring_setup
        "check(libc.ptrace(0, 0, 0, 0))",
        "check(libc.syscall(2, (OUTSIDE + '/new').encode(), os.O_CREAT, 0o600))",  # open, on x86
        "check(libc.syscall(437, -100, (OUTSIDE + '/new').encode(), open_how, 24))",  # openat2
        "check(libc.unshare(0x40000000))",
    ],
)  # fmt: skip
def test_a_way_out_is_closed(act: str, outside: Path, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    program = (
        "import ctypes, os, resource, socket, struct, subprocess\n"
        f"OUTSIDE, PORT, PARENT = {str(outside)!r}, {port}, {os.getpid()}\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "open_how = struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, 0o600, 0)\n"
        "def check(result):\n"
        "    if result == -1: raise OSError(ctypes.get_errno(), 'refused')\n"
        f"{act}"
    )
    before = (outside / "file").stat()
    outcome = run_program(program)
    assert outcome.reason.startswith("PermissionError"), outcome
    with pytest.raises(TimeoutError):
        listening.accept()
    assert [path.name for path in outside.iterdir()] == ["file"]
    after = (outside / "file").stat()
    assert (after.st_mtime, after.st_mode, after.st_size) == (
        before.st_mtime, before.st_mode, before.st_size,
    )  # fmt: skip


@confining
@pytest.mark.parametrize(
    "act",
    ["open(OUTSIDE + '/new', 'w')", "socket.socket()", "os.fork() or os._exit(0)"],
)
def test_without_the_filter_the_way_is_open(act: str, outside: Path) -> None:
    """So it is the filter that closes it, and not the test that asks wrongly."""
    program = f"import os, socket\nOUTSIDE = {str(outside)!r}\n{act}"
    assert run_program(program, confined=False).passed


@confining
def test_a_loop_is_ended_by_its_processor_time() -> None:
    assert run_program("while True: pass", seconds=1).reason == "it took more than 1 seconds"


@confining
def test_a_sleeper_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "GRACE", 0.2)
    started = time.monotonic()
    outcome = run_program("import time; time.sleep(60)", seconds=1)
    assert outcome.reason == "it did nothing for 0.2 seconds"
    assert time.monotonic() - started < 30


def test_what_an_unconfined_program_started_ends_with_it(outside: Path) -> None:
    program = (
        "import os, time\n"
        f"if os.fork() == 0:\n    time.sleep(1)\n    open({str(outside / 'late')!r}, 'w')\n"
    )
    assert run_program(program, confined=False).passed
    time.sleep(1.5)
    assert not (outside / "late").exists()


def test_a_system_without_filters_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "has_seccomp", lambda: False)
    with pytest.raises(GroundupError, match=r"cannot confine programs .* --unconfined"):
        run_program("pass")
