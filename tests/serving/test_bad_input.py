"""What no well-meaning client sends, over plain sockets."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from groundup.serving.http_protocol import BoundedHttpProtocol
from groundup.serving.intake import IntakeSettings
from groundup.serving.server import ServerSettings

CHAT = "/v1/chat/completions"
GOOD = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def http(running: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url) as client:
        yield client


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{} {}",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b'{"model": "scripted", "messages": [{"role": "user", "content": "\xc3"}]}',
        json.dumps(GOOD)[:-1].encode() + b', "temperature": NaN}',
        json.dumps(GOOD)[:-1].encode() + b', "temperature": Infinity}',
        json.dumps(GOOD)[:-1].encode() + b', "temperature": 1e999}',
        json.dumps(GOOD)[:-1].encode() + b', "max_tokens": 99999999999999999999999}',
        json.dumps(GOOD)[:-1].encode() + b', "max_tokens": 1.5}',
        json.dumps(GOOD)[:-1].encode() + b', "tools": ' + b"[" * 100_000,
        b"[" * 1_000_000,
        json.dumps(GOOD)[:-1].encode()
        + b', "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": '
        + b'{"a": ' * 50_000
        + b"1"
        + b"}" * 50_000
        + b"}}}",
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_bodies_that_are_not_what_they_should_be(http: Any, engine: Any, body: bytes) -> None:
    response = http.post(CHAT, content=body)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"
    assert not engine.requests


@pytest.mark.parametrize("depth", [10, 100, 300, 500, 800, 950, 1200])
def test_schemas_of_any_depth(http: Any, engine: Any, depth: int) -> None:
    """What the decoder just takes must not be too deep for what comes after it."""
    engine.text = "[]"
    nested = b'{"a": ' * depth + b"{}" + b"}" * depth
    tool = b'{"type": "function", "function": {"name": "f", "parameters": %b}}' % nested
    body = json.dumps(GOOD)[:-1].encode()
    for choice in (b"required", b"auto"):
        fields = b', "tools": [%b], "tool_choice": "%b"}' % (tool, choice)
        response = http.post(CHAT, content=body + fields)
        assert response.status_code == 200 if depth <= 100 else response.status_code in (200, 400)


def test_messages_that_the_template_refuses(run_server: Any, new_engine: Any) -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    with run_server(new_engine(template=template)) as running:
        for stream in (False, True):
            response = httpx.post(f"{running.url}{CHAT}", json=GOOD | {"stream": stream})
            assert response.status_code == 400
            assert "roles must alternate" in error_of(response)["message"]


def test_paths_and_methods(http: Any) -> None:
    response = http.get("/nothing")
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")
    for method, path, allowed in (("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET, HEAD")):
        response = http.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        error_of(response)
    assert http.head("/health").status_code == 200


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(0, size, 65_536):
        yield b" " * 65_536


def test_a_body_that_is_too_long(http: Any, engine: Any) -> None:
    limit = IntakeSettings.max_body
    for content in (b" " * (limit + 1), chunks(limit + 65_536)):  # with Content-Length and without
        response = http.post(CHAT, content=content)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"
        assert response.headers["connection"] == "close"
    fitting = json.dumps(GOOD).encode()
    fitting += b" " * (limit - len(fitting))
    assert http.post(CHAT, content=fitting).status_code == 200


def refused_after(client: socket.socket, data: bytes, times: int, pause: float = 0) -> int:
    """How often the data could be sent before the server ended the connection."""
    for sent in range(times):
        try:
            client.sendall(data)
        except ConnectionError:
            return sent
        time.sleep(pause)
    return times


def test_a_body_without_an_end_is_not_read_for_ever(running: Any, engine: Any) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.settimeout(20)
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        client.sendall(head.encode())
        assert refused_after(client, b"10000\r\n" + b" " * 65_536 + b"\r\n", 1000) < 1000


def test_control_characters_and_odd_headers(running: Any) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.settimeout(20)
        client.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400")


@pytest.fixture
def impatient(run_server: Any, new_engine: Any, monkeypatch: Any) -> Iterator[Any]:
    """A server that waits a quarter of a second, or less than a second for a connection."""
    monkeypatch.setattr(BoundedHttpProtocol, "head_deadline", 0.25)
    monkeypatch.setattr(BoundedHttpProtocol, "write_deadline", 0.25)
    settings = ServerSettings(drain_deadline=0.2, keep_alive=12)
    with run_server(new_engine(), IntakeSettings(body_deadline=0.25), settings) as running:
        yield running


def ended_after(client: socket.socket) -> tuple[float, bytes]:
    """How long the server kept the connection, and what it said."""
    start, said = time.monotonic(), b""
    client.settimeout(20)
    while data := client.recv(65_536):
        said += data
    return time.monotonic() - start, said


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/ch", b"GET /health HTTP/1.1\r\nhost: x\r\n", b"\r\n"]
)
def test_a_head_that_does_not_come(impatient: Any, sent: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as client:
        client.sendall(sent)
        seconds, said = ended_after(client)
        assert 0.1 < seconds < 10
        assert said == b""


@pytest.mark.parametrize(
    ("sent", "at_once"), [(b"GET /hea", True), (b"GET /hea", False), (b"\r\n", False)]
)
def test_a_second_head_that_does_not_come(impatient: Any, sent: bytes, at_once: bool) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as client:
        client.settimeout(20)
        first = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
        client.sendall(first + sent if at_once else first)
        said = client.recv(65_536)
        if not at_once:
            client.sendall(sent)
        seconds, rest = ended_after(client)
        assert seconds < 10  # an idle connection stays for 12
        assert (said + rest).count(b"HTTP/1.1 200") == 1


def test_a_head_that_comes_too_slowly(impatient: Any) -> None:
    """A byte now and then does not extend the deadline."""
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as client:
        client.sendall(b"GET /health HTTP/1.1\r\na: ")
        assert refused_after(client, b"b", 1000, pause=0.02) < 1000


def test_a_head_without_end(running: Any) -> None:
    with closing(socket.create_connection(("127.0.0.1", running.port))) as client:
        client.settimeout(20)
        client.sendall(b"GET /health HTTP/1.1\r\n")
        assert refused_after(client, b"a: " + b"b" * 8000 + b"\r\n", 2000) < 2000


def test_a_body_that_does_not_come(impatient: Any) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.port))) as client:
        client.sendall(b"POST /tokenize HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
        seconds, said = ended_after(client)
        assert 0.1 < seconds < 10
        assert said.startswith(b"HTTP/1.1 408")
        assert b'"error"' in said


def test_a_client_that_does_not_read(impatient: Any, wait_until: Any) -> None:
    engine = impatient.engine
    engine.text = "x" * 3900
    body = json.dumps(GOOD | {"stream": True, "logprobs": True, "top_logprobs": 20}).encode()
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", impatient.port))
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        wait_until(lambda: engine.closed == 1)
        assert impatient.service.metrics.request_success["abort"]._value.get() == 1
