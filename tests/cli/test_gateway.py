"""``groundup keys`` and ``groundup gateway``: what they refuse, and their life as processes."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from groundup.cli import main
from groundup.serving.api_keys import digest_of, read_keys

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    def command(*arguments: str) -> str:
        monkeypatch.setenv("GROUNDUP_API_KEY", "")
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        return said

    return command


def called(*arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0


def test_a_keys_life(tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refused) -> None:
    file = str(tmp_path / "k.toml")
    called("keys", "add", "anna", "--requests-per-minute", "60", "--token-budget", "1000",
           "--period", "day", "--file", file)  # fmt: skip
    shown = capsys.readouterr()
    key = shown.out.strip()
    assert "not shown again" in shown.err
    anna = read_keys(Path(file))["anna"]
    assert anna.sha256 == digest_of(key.encode())
    assert (anna.requests_per_minute, anna.token_budget, anna.period) == (60, 1000, "day")
    assert key not in Path(file).read_text()
    called("keys", "add", "ben", "--file", file)
    assert "there is a key 'anna'" in refused("keys", "add", "anna", "--file", file)
    assert "letters" in refused("keys", "add", "a b", "--file", file)
    assert "'week'" in refused("keys", "add", "c", "--period", "week", "--file", file)
    capsys.readouterr()
    called("keys", "list", "--file", file)
    listed = capsys.readouterr().out
    assert "anna" in listed
    assert "0 of 1,000" in listed
    assert key not in listed
    called("keys", "remove", "anna", "--file", file)
    assert list(read_keys(Path(file))) == ["ben"]
    assert "expected one of ['ben']" in refused("keys", "remove", "anna", "--file", file)
    assert "does not exist" in refused("keys", "remove", "a", "--file", str(tmp_path / "none"))


def test_what_it_refuses(refused: Refused, tmp_path: Path) -> None:
    one = ("--upstream", "http://127.0.0.1:1/v1")
    assert "either --upstream" in refused("gateway")
    assert "either --upstream" in refused("gateway", *one, "--config", "x")
    assert "is not a URL" in refused("gateway", "--upstream", "127.0.0.1:1")
    assert "there is no API key" in refused("gateway", *one, "--host", "0.0.0.0")
    assert "cannot read" in refused("gateway", "--config", str(tmp_path / "none.toml"))
    assert "cannot read" in refused("gateway", *one, "--keys", str(tmp_path / "none.toml"))
    path = tmp_path / "g.toml"
    path.write_text('redis = "http://x"\n[[upstream]]\nurl = "http://127.0.0.1:1/v1"\n')
    assert "no URL of Redis" in refused("gateway", "--config", str(path))
    assert "[cache]" in refused("gateway", "--config", str(path), "--cache")
    assert "give --cache too" in refused("serve", "--cache-similarity", "0.9")


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(b'{"data": [{"id": "m"}]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(b'{"choices": [], "usage": {"total_tokens": 30}}')

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_its_life(
    tmp_path: Path, environment: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys of a file, a budget that survives SIGTERM, an upstream from a configuration."""
    called("keys", "add", "anna", "--token-budget", "50", "--file", str(tmp_path / "k.toml"))
    key = {"authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, args=(0.05,)).start()
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'keys = "k.toml"\n[[upstream]]\nurl = "http://127.0.0.1:{upstream.server_port}/v1"\n'
    )
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    statuses = []
    try:
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-m", "groundup", "gateway", "--config", str(config),
                 "--port", str(port)],
                env=environment() | {"GROUNDUP_HOME": str(tmp_path / "home")},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                    for _ in range(600):
                        try:
                            client.get("/ready", timeout=30)
                            break
                        except httpx.HTTPError:
                            assert process.poll() is None, process.communicate()
                            time.sleep(0.1)
                    body = {"model": "m", "messages": []}
                    for _ in range(2):
                        answer = client.post("/v1/chat/completions", json=body, headers=key)
                        statuses.append(answer.status_code)
                    assert client.post("/v1/chat/completions", json=body).status_code == 401
                    process.send_signal(signal.SIGTERM)
                    errors = process.communicate(timeout=60)[1]
            finally:
                process.kill()
            assert process.returncode == 0, errors
            assert f"behind http://127.0.0.1:{port}/v1" in errors
    finally:
        upstream.shutdown()
        upstream.server_close()
    assert statuses == [200, 200, 429, 429]
