"""Downloads against a local server that drops, refuses, stalls and lies."""

import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.models import download as module
from groundup.models.download import download, progress_bar

BODY = random.Random(0).randbytes(1_000_003)
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2


class Server(ThreadingHTTPServer):
    """Serves BODY with Range support. ``plan`` holds what to do with the next requests instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.plan: list[str | int] = []
        self.ranges: list[str | None] = []  # the Range header of each request
        self.sent = 0  # bytes of bodies
        self.released = threading.Event()  # ends a "stall"
        self.stalling = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        act = self.server.plan.pop(0) if self.server.plan else "serve"
        body = self.server.body
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if isinstance(act, int) or start >= len(body):
            self.send_response(act if isinstance(act, int) else 416)
            self.end_headers()
            return
        if act.startswith("redirect "):
            self.send_response(302)
            self.send_header("Location", act.removeprefix("redirect "))
            self.end_headers()
            return
        if asked and "whole" not in act:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = body[: len(body) // 2] if "drop" in act or "stall" in act else body
        self.server.sent += len(cut)  # before the client can have them all
        self.wfile.write(cut)
        if "stall" in act:
            self.server.stalling = True
            self.server.released.wait(timeout=30)
            self.server.stalling = False


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join(timeout=10)


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "BACK_OFF", 0.001)


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def wait_until(fact: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < limit
        time.sleep(0.01)


PROGRAM = """
import sys
from pathlib import Path
from groundup.models.download import download
download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])
"""


def in_a_process(url: str, target: Path, program: str = PROGRAM) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, url, str(target), SHA256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_file_arrives_and_progress_counts_its_bytes(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    target = tmp_path / "new" / "file.bin"
    returned = download(
        server.url, target, sha256=SHA256, progress=lambda *step: steps.append(step)
    )
    assert returned == target
    assert target.read_bytes() == BODY
    assert not part_of(target).exists()
    assert [done for _, done, _ in steps] == sorted({done for _, done, _ in steps})
    assert steps[-1] == ("fetching file.bin", len(BODY), len(BODY))


def test_a_dropped_connection_resumes_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.plan = ["drop", "drop", 500, "serve"]
    target = download(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert target.read_bytes() == BODY
    assert server.ranges[:2] == [None, f"bytes={HALF}-"]
    assert server.sent == len(BODY)


def test_a_stalled_connection_times_out_and_resumes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOCKET_TIMEOUT", 0.3)
    server.plan = ["stall"]
    assert download(server.url, tmp_path / "file.bin", sha256=SHA256).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.stalling  # it was the client that gave up


def test_a_part_from_an_earlier_run_is_hashed_and_continued(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    part_of(target).write_bytes(BODY[:700_001])
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY
    assert server.ranges == ["bytes=700001-"]
    assert server.sent == len(BODY) - 700_001


def test_a_server_that_ignores_range_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = ["drop", "whole"]
    assert download(server.url, tmp_path / "file.bin", sha256=SHA256).read_bytes() == BODY
    assert server.ranges[1] is not None


def test_a_server_that_always_starts_over_and_drops_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.plan = ["drop whole"] * 50
    target = tmp_path / "file.bin"
    with pytest.raises(GroundupError, match=r"ended at 500,001 of 1,000,003 bytes, 4 times"):
        download(server.url, target, sha256=SHA256)
    assert len(server.ranges) == 4
    assert not target.exists()
    assert part_of(target).stat().st_size == HALF  # the next run goes on from here


def test_a_part_that_is_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    part_of(target).write_bytes(b"x" * (len(BODY) + 5))
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY  # after a 416
    target.unlink()
    part_of(target).write_bytes(b"x" * (len(BODY) + 5))
    assert download(server.url, target, sha256=SHA256, size=len(BODY)).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY) + 5}-", None, None]


def test_a_whole_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    part_of(target).write_bytes(BODY)
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY
    assert server.ranges == []


def test_a_file_that_is_there_needs_no_request_and_a_damaged_one_is_replaced(
    server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(BODY)
    download(server.url, target, sha256=SHA256)
    assert server.ranges == []
    target.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY


def test_wrong_bytes_are_deleted_and_both_hashes_told(server: Server, tmp_path: Path) -> None:
    server.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    target = tmp_path / "file.bin"
    with pytest.raises(GroundupError) as caught:
        download(server.url, target, sha256=SHA256, size=len(BODY))
    assert hashlib.sha256(server.body).hexdigest() in str(caught.value)
    assert SHA256 in str(caught.value)
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_missing_file_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    server.plan = [404, 404]
    with pytest.raises(GroundupError, match="the server answered 404 Not Found"):
        download(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert len(server.ranges) == 1


def test_a_busy_server_is_asked_four_times(server: Server, tmp_path: Path) -> None:
    server.plan = [500, 503, 429, 500, "serve"]
    with pytest.raises(GroundupError, match=r"answered 500 .*, 4 times in a row"):
        download(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert len(server.ranges) == 4


def test_a_closed_port_is_told_in_one_line(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(GroundupError, match=r"no connection \(.*refused") as caught:
        download(url, tmp_path / "file.bin", sha256=SHA256)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://example.com/f", "ftp://127.0.0.1/f", "data:,x", "http://127.0.0.1.evil.net/f"]
)
def test_other_schemes_are_refused(url: str, tmp_path: Path, server: Server) -> None:
    with pytest.raises(GroundupError, match="refusing to fetch"):
        download(url, tmp_path / "f", sha256=SHA256)
    server.plan = [f"redirect {url}"] * 2
    with pytest.raises(GroundupError, match=r"refusing to fetch|answered 302"):
        download(server.url, tmp_path / "f", sha256=SHA256)
    assert list(tmp_path.glob("f*")) in ([], [tmp_path / "f.lock"])


def test_a_redirection_is_followed(server: Server, tmp_path: Path) -> None:
    server.plan = ["drop", f"redirect {server.url}"]
    assert download(server.url, tmp_path / "file.bin", sha256=SHA256).read_bytes() == BODY
    assert server.ranges[1:] == [f"bytes={HALF}-"] * 2


def test_a_file_address_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "source file"
    source.write_bytes(BODY)
    part_of(tmp_path / "copy").write_bytes(b"stale")
    assert download(source.as_uri(), tmp_path / "copy", sha256=SHA256).read_bytes() == BODY
    assert source.exists()


def test_a_killed_download_leaves_no_file_and_resumes(server: Server, tmp_path: Path) -> None:
    server.plan = ["stall"]
    target = tmp_path / "file.bin"
    process = in_a_process(server.url, target)
    part = part_of(target)
    wait_until(lambda: part.exists() and part.stat().st_size > 400_000)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    had = part.stat().st_size
    assert not target.exists()
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={had}-"]
    assert server.sent < 1.2 * len(BODY)


def test_two_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    server.plan = ["stall"]  # then drops: the first process resumes while the second waits
    target = tmp_path / "file.bin"
    first = in_a_process(server.url, target)
    wait_until(lambda: len(server.ranges) == 1)
    second = in_a_process(server.url, target)
    assert second.stderr is not None
    assert second.stderr.readline() == ("waiting for another process, which is fetching file.bin\n")
    server.released.set()
    for process in (first, second):
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert target.read_bytes() == BODY
    assert server.sent == len(BODY)


def test_the_wait_for_another_process_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.1)
    with (tmp_path / "file.bin.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(GroundupError, match="another process has been fetching"):
            download("https://127.0.0.1:9/", tmp_path / "file.bin", sha256=SHA256)


def test_a_full_disk_is_told_and_the_part_stays(server: Server, tmp_path: Path) -> None:
    """A limit on file size stands in for the disk: the same failed write."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
    target = tmp_path / "file.bin"
    process = in_a_process(server.url, target, limit + PROGRAM)
    told = process.communicate(timeout=60)[1].splitlines()[-1]
    assert f"GroundupError: cannot write {target}: File too large; make room" in told
    assert 0 < part_of(target).stat().st_size <= 300_000
    assert len(server.ranges) == 1  # a failed write is not a dropped connection
    assert download(server.url, target, sha256=SHA256).read_bytes() == BODY


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GroundupError, match=r"cannot write .*GROUNDUP_HOME"):
        download("https://127.0.0.1:9/", tmp_path / "file" / "f", sha256=SHA256)


def test_a_certificate_bundle_that_is_missing_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "none.pem"))
    with pytest.raises(GroundupError, match=r"PIP_CERT names .*none\.pem"):
        download(server.url, tmp_path / "f", sha256=SHA256)


def test_certificates_are_trusted_without_any_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert len(module._certificates().get_ca_certs()) > 50


def test_without_a_terminal_each_thing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert not os.isatty(2) or not sys.stderr.isatty()
    with progress_bar() as told:
        told("asking", 0, None)
        for done in range(0, 5_000_000, 1_000_000):
            told("fetching it", done, 92_871_040)
    assert capsys.readouterr().err == "asking\nfetching it, 92.9 MB\n"
