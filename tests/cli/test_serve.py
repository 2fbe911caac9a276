"""``groundup serve``: what it refuses, and its life as a process."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest

from groundup.cli import main
from groundup.cli.serve import is_loopback


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments])
    assert caught.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_machines_need_a_key(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDUP_API_KEY", "")
    said = refused(capsys, "--host", host)
    assert "GROUNDUP_API_KEY" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("", False)],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(capsys, "--port", str(taken.getsockname()[1]))
    assert "in use" in said
    assert "--port" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_life(number: int, environment: Callable[[], dict[str, str]]) -> None:
    port = free_port()
    model = "smollm2-135m-instruct"
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", "serve", "--port", str(port)],
        env=environment() | {"GROUNDUP_API_KEY": "from-the-environment"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(600):
                try:
                    client.get("/ready", timeout=30)
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, process.communicate()
                    time.sleep(0.1)
            assert client.get("/v1/models").status_code == 401
            key = {"authorization": "Bearer from-the-environment"}
            assert client.get("/v1/models", headers=key).json()["data"][0]["id"] == model
            body = {"model": model, "prompt": "x", "max_tokens": 2}
            answer = client.post("/v1/completions", json=body, headers=key).json()
            assert answer["choices"][0]["finish_reason"] == "length"
            assert answer["usage"]["completion_tokens"] == 2
            process.send_signal(number)
            errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"{model} on http://127.0.0.1:{port}/v1" in errors
