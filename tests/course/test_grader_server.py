"""The warm grader: one process, reused, private, and not to be broken by what it grades."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import groundup
from groundup.course.grader import client
from groundup.course.grader.client import GraderAddress, grade, grader_address
from groundup.course.parts.table import PARTS
from groundup.errors import GroundupError

ATTENTION = PARTS["attention"]
CHEATS = Path(__file__).parent / "cheats"
CHECKS = 10


def process_of(address: GraderAddress) -> int:
    """The process that listens there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address.socket))
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", found)[0]
    return pid


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for(true: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def verdict(file: Path) -> list[bool]:
    return [result.passed for result in grade(ATTENTION, file, seconds=2.0)]


@pytest.fixture(scope="module", autouse=True)
def own_folder() -> Iterator[Path]:
    """Graders of this module alone. They end when their folder is gone."""
    with tempfile.TemporaryDirectory(prefix="gu-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        # A grader outlives whoever starts it.
        patch.setattr(subprocess.Popen, "__del__", lambda self: None)
        yield Path(folder)


@pytest.fixture
def solution(tmp_path: Path, attention_source: str) -> Path:
    file = tmp_path / "attention.py"
    file.write_text(attention_source)
    return file


def test_it_is_started_once_and_used_again(solution: Path) -> None:
    assert verdict(solution) == [True] * CHECKS
    first = process_of(grader_address())
    assert verdict(CHEATS / "return_zeros.py") != [True] * CHECKS
    assert verdict(solution) == [True] * CHECKS
    assert process_of(grader_address()) == first


def test_its_folder_is_for_its_user_alone(own_folder: Path) -> None:
    folder = grader_address().socket.parent
    assert folder.parent == own_folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to a group", "a link", "a file"])
def test_a_folder_that_others_may_control_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="gu-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        folder = Path(runtime) / f"groundup-{os.getuid()}"
        if kind == "open to a group":
            folder.mkdir()
            folder.chmod(0o710)
        elif kind == "a link":
            folder.symlink_to(tmp_path)
        else:
            folder.touch()
        with pytest.raises(GroundupError, match="is not a folder of yours alone"):
            grader_address()


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grader_address()
    uid = os.getuid()
    folder = grader_address().socket.parent
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    folder.rename(folder.with_name(f"groundup-{uid + 1}"))
    try:
        with pytest.raises(GroundupError, match="is not a folder of yours alone"):
            grader_address()
    finally:
        folder.with_name(f"groundup-{uid + 1}").rename(folder)


@pytest.mark.parametrize("named", ["", "/nowhere/at/all", "long"])
def test_a_runtime_folder_that_cannot_be_used_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long) if named == "long" else named)
    with tempfile.TemporaryDirectory(prefix="gu-", dir="/tmp") as other:
        monkeypatch.setattr(tempfile, "tempdir", other)
        assert grader_address().socket.parent.parent == Path(other)
    assert len(str(grader_address().socket)) < 100


def test_other_code_has_another_grader_and_the_old_one_ends(
    solution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(solution) == [True] * CHECKS
    before, old = grader_address(), process_of(grader_address())
    copy = tmp_path / "groundup" / "course" / "grader"
    copy.mkdir(parents=True)
    (copy / "judge.py").write_text("changed = True\n")
    with monkeypatch.context() as patch:
        patch.setattr(groundup, "__file__", str(tmp_path / "groundup" / "__init__.py"))
        assert grader_address() != before
        assert verdict(solution) == [True] * CHECKS
        assert process_of(grader_address()) != old
        one = grader_address()
        (copy / "judge.py").write_text("changed = False\n")
        assert grader_address() != one
    assert wait_for(lambda: not running(old))


def test_two_at_once_each_get_their_own_answers(solution: Path) -> None:
    answers: dict[str, list[bool]] = {}

    def ask(name: str, file: Path) -> None:
        answers[name] = verdict(file)

    zeros = CHEATS / "return_zeros.py"
    threads = [
        threading.Thread(target=ask, args=case)
        for case in [("right", solution), ("wrong", zeros), ("right too", solution)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers["right"] == answers["right too"] == [True] * CHECKS
    assert len(answers["wrong"]) == CHECKS
    assert answers["wrong"].count(False) > CHECKS // 2


def test_who_hangs_up_frees_it_and_ends_what_hung(solution: Path, tmp_path: Path) -> None:
    assert verdict(solution) == [True] * CHECKS
    hanging = tmp_path / "hanging.py"
    hanging.write_text(
        "import time\ndef attention(q, k, v, *, causal=True):\n    time.sleep(600)\n"
    )
    address, server = grader_address(), process_of(grader_address())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address.socket))
        request = {"part": "attention", "file": str(hanging), "seconds": 60.0}
        connection.sendall(json.dumps(request).encode() + b"\n")
        assert wait_for(lambda: len(children(server)) > 0)
        time.sleep(0.3)
        hung = children(server)
    assert wait_for(lambda: not any(running(pid) for pid in hung), 10)
    assert verdict(solution) == [True] * CHECKS
    assert process_of(address) == server


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("request_", [b"", b'{"part": "atten'])
def test_a_request_that_was_cut_off_does_not_end_it(solution: Path, request_: bytes) -> None:
    assert verdict(solution) == [True] * CHECKS
    address, server = grader_address(), process_of(grader_address())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address.socket))
        connection.sendall(request_)
    assert verdict(solution) == [True] * CHECKS
    assert process_of(address) == server


@pytest.mark.parametrize("cheat", ["fake_result", "exit_process", "hang", "fork"])
def test_it_survives_a_cheat(solution: Path, cheat: str) -> None:
    assert verdict(solution) == [True] * CHECKS
    server = process_of(grader_address())
    assert not all(verdict(CHEATS / f"{cheat}.py"))
    assert verdict(solution) == [True] * CHECKS
    assert process_of(grader_address()) == server


def test_when_it_is_ended_in_a_check_the_next_call_starts_another(
    solution: Path, tmp_path: Path
) -> None:
    assert verdict(solution) == [True] * CHECKS
    address, server = grader_address(), process_of(grader_address())
    hanging = tmp_path / "hanging.py"
    hanging.write_text(
        "import time\ndef attention(q, k, v, *, causal=True):\n    time.sleep(600)\n"
    )
    threading.Timer(1.0, os.kill, (server, signal.SIGKILL)).start()
    with pytest.raises(GroundupError) as raised:
        list(grade(ATTENTION, hanging, seconds=60))
    assert "the grader stopped before it had finished" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert wait_for(lambda: not running(server))
    assert address.socket.exists()  # a stale one
    assert verdict(solution) == [True] * CHECKS
    assert process_of(address) != server


def test_it_ends_when_idle_and_takes_its_address_with_it(solution: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gu-") as folder:
        address = GraderAddress(Path(folder) / "grader.sock")
        program = (
            "import sys; from pathlib import Path\n"
            "from groundup.course.grader.client import GraderAddress\n"
            "from groundup.course.grader.server import serve\n"
            "serve(GraderAddress(Path(sys.argv[1])), idle_seconds=1.0)\n"
        )
        server = subprocess.Popen([sys.executable, "-c", program, str(address.socket)])
        assert wait_for(address.socket.exists, 60)
        assert server.wait(60) == 0
        assert not address.socket.exists()


def test_one_that_cannot_start_says_why(
    solution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('planted')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(client, "_fingerprint", lambda: "planted")
    with pytest.raises(
        GroundupError, match=r"could not be started \(ImportError: planted\): see /"
    ):
        verdict(solution)


def test_a_file_in_the_current_folder_does_not_stand_for_a_library(
    solution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('planted')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "_fingerprint", lambda: "elsewhere")
    assert verdict(solution) == [True] * CHECKS
