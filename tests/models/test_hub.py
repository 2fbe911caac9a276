"""The hub client against a local stand-in, in fresh processes: it reads its address only once."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "a" * 40
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": bytes(range(256)) * 10,
    "consolidated.safetensors": b"a second copy",
    "pytorch_model.bin": b"pickled",
    "onnx/model.safetensors": b"another format",
    "README.md": b"words",
}


class Hub(ThreadingHTTPServer):
    """Knows org/good, org/pickled (no safetensors), org/gated and org/silent (never answers)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fetched: list[str] = []
        self.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/api/models")
        owner, name, *rest = path.removeprefix("/").split("/")
        files = {n: b for n, b in FILES.items() if name != "pickled" or "safetensors" not in n}
        if name == "silent":
            self.server.stopped.wait(timeout=60)
        elif name == "busy":
            self.answer(503)
        elif name not in {"good", "pickled", "gated"}:
            self.answer(404, X_Error_Code="RepoNotFound")
        elif rest[:1] == ["revision"] and rest[1] not in {"main", COMMIT}:
            self.answer(404, X_Error_Code="RevisionNotFound")
        elif rest[:1] == ["resolve"]:
            self.file("/".join(rest[2:]), files, gated=name == "gated")
        elif rest[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in files.items()
            ]
            self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        else:
            siblings = [{"rfilename": n} for n in files]
            info = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings}
            self.answer(200, json.dumps(info).encode(), Content_Type="application/json")

    do_HEAD = do_GET  # noqa: N815

    def file(self, name: str, files: dict[str, bytes], gated: bool) -> None:
        if gated:
            self.answer(403, X_Error_Code="GatedRepo")
            return
        if self.command == "GET":
            self.server.fetched.append(name)
        etag = hashlib.sha1(files[name]).hexdigest()
        self.answer(200, files[name], ETag=f'"{etag}"', X_Repo_Commit=COMMIT)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stopped.set()
        running.shutdown()
        thread.join(timeout=10)


PROGRAM = """
import sys
from groundup.errors import GroundupError
from groundup.models import hub
hub.TIMEOUT = 0.5
revision, again = sys.argv[2] or None, sys.argv[3] == "again"
try:
    print(hub.fetch_from_hub(sys.argv[1], revision, again=again))
except GroundupError as error:
    print("GroundupError:", error)
"""


def fetch_from(
    url: str, home: Path, hub_id: str, revision: str = "", again: str = "", **extra: str
) -> str:
    """What fetch_from_hub printed in a process whose hub is at ``url``."""
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "GROUNDUP_HOME": str(home),
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, "-c", PROGRAM, hub_id, revision, again]
    done = subprocess.run(
        command, env=environment | extra, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


CLOSED = "http://127.0.0.1:9"


def test_a_model_is_fetched_without_pickles_and_kept_for_offline(hub: Hub, tmp_path: Path) -> None:
    folder = Path(fetch_from(hub.url, tmp_path, "org/good"))
    wanted = ["config.json", "model.safetensors", "tokenizer.json"]
    assert folder.is_relative_to(tmp_path / "hub")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in wanted
    }
    assert sorted(hub.fetched) == wanted
    assert fetch_from(hub.url, tmp_path, "org/good", "main") == str(folder)
    assert fetch_from(CLOSED, tmp_path, "org/good") == str(folder)
    assert fetch_from(hub.url, tmp_path, "org/good", HF_HUB_OFFLINE="1") == str(folder)
    assert sorted(hub.fetched) == wanted
    assert fetch_from(hub.url, tmp_path, "org/good", again="again") == str(folder)
    assert sorted(hub.fetched) == sorted(wanted * 2)
    assert "could not be reached" in fetch_from(CLOSED, tmp_path, "org/good", again="again")


def test_an_incomplete_model_is_not_taken_for_whole_offline(hub: Hub, tmp_path: Path) -> None:
    folder = Path(fetch_from(hub.url, tmp_path, "org/good"))
    (folder / "model.safetensors").unlink()
    assert fetch_from(CLOSED, tmp_path, "org/good").startswith("GroundupError:")


@pytest.mark.parametrize(
    ("hub_id", "revision", "told"),
    [
        ("org/unknown", "", "the hub knows no model org/unknown"),
        ("org/good", "v9", "org/good has no revision 'v9'"),
        ("org/gated", "", "the hub gives org/gated only to those who accepted its terms"),
        ("org/pickled", "", "org/pickled has no *.safetensors"),
        ("org/silent", "", "the hub could not be reached and org/silent is not wholly in"),
        ("org/busy", "", "the hub could not be reached and org/busy is not wholly in"),
        ("not an id", "", "'not an id' is not a hub id: expected org/name"),
        ("./model.gguf", "", "'./model.gguf' is not a hub id"),
    ],
)
def test_each_failure_is_one_line(
    hub_id: str, revision: str, told: str, hub: Hub, tmp_path: Path
) -> None:
    message = fetch_from(hub.url, tmp_path, hub_id, revision)
    assert message.startswith(f"GroundupError: {told}")
    assert "\n" not in message
    assert not list(tmp_path.rglob("*.bin"))


@pytest.mark.parametrize("extra", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_a_hub_out_of_reach_is_told_in_one_line(extra: dict[str, str], tmp_path: Path) -> None:
    message = fetch_from(CLOSED, tmp_path, "org/good", **extra)
    assert message.startswith("GroundupError: the hub could not be reached and org/good")
    assert "\n" not in message
