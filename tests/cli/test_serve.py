"""``groundup serve``: what it refuses, and its life as a process."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pexpect
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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["haiku"], "expected NAME=FOLDER"),
        (["=x"], "expected NAME=FOLDER"),
        (["haiku="], "expected NAME=FOLDER"),
        (["a=x", "a=y"], "choose a new name"),
        (["smollm2-135m-instruct=x"], "choose a new name"),
    ],
)
def test_adapters_that_are_named_wrongly(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, *(f"--adapter={each}" for each in given))
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(capsys, "--port", str(taken.getsockname()[1]))
    assert "in use" in said
    assert "--port" in said


@contextmanager
def served(
    environment: dict[str, str], *arguments: str
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    """The command, once it is ready, and a client of it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", "serve", "--port", str(port), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until_it_answers(client, lambda: process.poll() is None)
            yield client, process
    finally:
        process.kill()
        process.communicate()


def until_it_answers(client: httpx.Client, alive: Callable[[], bool]) -> None:
    for _ in range(1200):
        with suppress(httpx.HTTPError):
            client.get("/ready")
            return
        assert alive()
        time.sleep(0.1)
    raise AssertionError("it does not answer")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_life(number: int, environment: Callable[[], dict[str, str]]) -> None:
    model = "smollm2-135m-instruct"
    keyed = environment() | {"GROUNDUP_API_KEY": "from-the-environment"}
    with served(keyed) as (client, process):
        assert client.get("/v1/models").status_code == 401
        client.headers["authorization"] = "Bearer from-the-environment"
        assert client.get("/v1/models").json()["data"][0]["id"] == model
        body = {"model": model, "prompt": "x", "max_tokens": 2}
        answer = client.post("/v1/completions", json=body).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 2
        [engine] = children(process.pid)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert not Path(f"/proc/{engine}").exists()
        assert f"{model} on {client.base_url}/v1" in errors
        assert len(errors.splitlines()) == 1


def children(pid: int) -> list[int]:
    """The processes that one has started and not yet seen end."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_with_replicas(terminal: Callable[..., pexpect.spawn], tiny_model: str) -> None:
    """The terminal sends the signal to all of its processes; only the server is meant."""
    port = str(free_port())
    child = terminal("serve", "--model", tiny_model, "--port", port, "--replicas", "2")
    child.expect("Ctrl-C ends")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        until_it_answers(client, child.isalive)
    engines = children(child.pid)
    assert len(engines) == 2
    child.sendintr()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert "Traceback" not in child.before
    assert not [pid for pid in engines if Path(f"/proc/{pid}").exists()]


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--port", str(free_port()), "--model", "/nowhere.gguf")
    assert said.splitlines() == [
        "groundup: there is no /nowhere.gguf: name a GGUF file, or a folder with safetensors"
    ]


def test_a_model_that_cannot_be_loaded(
    capsys: pytest.CaptureFixture[str], tiny_model: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(Path(tiny_model).read_bytes()[:-100_000])
    said = refused(capsys, "--port", str(free_port()), "--model", str(broken), "--replicas", "2")
    assert len(said.splitlines()) == 1
    assert "broken.gguf" in said


def test_a_learners_part_that_fails(
    swapped_attention: Callable[[str], Path], attention_source: str,
    environment: Callable[[], dict[str, str]], tiny_model: str,
) -> None:  # fmt: skip
    """The reference takes its place, and the very request is answered."""
    failing = attention_source.replace(
        "    heads = []", '    if S == 90:\n        raise IndexError("planted")\n    heads = []'
    )
    file = swapped_attention(failing)
    with served(environment(), "--model", tiny_model) as (client, process):
        body = {"model": tiny_model, "max_tokens": 2, "temperature": 0}
        good = client.post("/v1/completions", json=body | {"prompt": [7] * 79})
        assert good.status_code == 200
        [engine] = children(process.pid)
        for _ in range(2):
            bad = client.post("/v1/completions", json=body | {"prompt": [8] * 90})
            assert bad.status_code == 200, bad.text
            assert bad.json()["usage"]["completion_tokens"] == 2
        assert children(process.pid) != [engine]
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    line = failing.splitlines().index('        raise IndexError("planted")') + 1
    assert f"attention: your {file.name} failed at line {line}" in errors
    assert "Traceback" not in errors
