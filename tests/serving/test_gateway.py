"""The gateway over upstreams that answer, refuse, break off, hang, or are not there."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from groundup.serving.api_keys import ApiKey, digest_of, write_keys
from groundup.serving.callers import Callers
from groundup.serving.gateway import Gateway
from groundup.serving.gateway_app import create_gateway_app
from groundup.serving.gateway_config import (
    BreakerConfig,
    GatewayConfig,
    HealthConfig,
    QueueConfig,
    RoutingConfig,
    UpstreamConfig,
)
from groundup.serving.server import ServerSettings

CHAT = "/v1/chat/completions"
GOOD: Any = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
NO_PROBES = HealthConfig(interval=1000)
NO_BREAKER = BreakerConfig(min_calls=1000)
USUAL_QUEUE = QueueConfig()
DONE = b"data: [DONE]\n\n"


def chunk(text: str, **more: Any) -> bytes:
    data = {"choices": [{"index": 0, "delta": {"content": text}}], **more}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


class FakeUpstream:
    """An endpoint that behaves as ``behaviour`` says: a name of one of `Handler`'s methods."""

    def __init__(self, *models: str) -> None:
        self.behaviour = "answer"
        self.models = models or ("scripted",)
        self.healthy = True
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.left = threading.Event()  # the client closed the connection
        self.go_on = threading.Event()
        self.connections: set[socket.socket] = set()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if not upstream.healthy:
                    self.whole({"error": {"message": "loading"}}, 503)
                    return
                self.whole({"data": [{"id": name} for name in upstream.models]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                upstream.bodies.append(json.loads(body))
                upstream.headers.append(self.headers)
                getattr(self, upstream.behaviour)(upstream.bodies[-1])

            def whole(self, answer: Any, status: int = 200, **headers: str) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def begin(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()

            def part(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()

            def answer(self, request: dict[str, Any]) -> None:
                usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
                if not request.get("stream"):
                    message = {"role": "assistant", "content": "Hello!"}
                    choice = {"index": 0, "message": message, "finish_reason": "stop"}
                    fields = {"object": "chat.completion", "created": 1, "model": request["model"]}
                    self.whole({"id": "c", "choices": [choice], "usage": usage, **fields})
                    return
                self.begin()
                for text in ("Hel", "lo!"):
                    self.part(chunk(text))
                if request.get("stream_options", {}).get("include_usage"):
                    data = json.dumps({"choices": [], "usage": usage}).encode()
                    self.part(b"data: " + data + b"\n\n")
                self.part(DONE)
                self.wfile.write(b"0\r\n\r\n")

            def die(self, _request: dict[str, Any]) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def die_after_head(self, _request: dict[str, Any]) -> None:
                self.begin()
                self.die(_request)

            def die_in_body(self, request: dict[str, Any]) -> None:
                if request.get("stream"):
                    self.begin()
                    self.part(chunk("Hel"))
                else:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"id"')
                    self.wfile.flush()
                self.die(request)

            def end_early(self, _request: dict[str, Any]) -> None:
                self.begin()
                self.part(chunk("Hel"))
                self.wfile.write(b"0\r\n\r\n")

            def error_event(self, _request: dict[str, Any]) -> None:
                self.begin()
                self.part(chunk("Hel"))
                self.part(b'data: {"error": {"message": "the engine failed", "code": "x"}}\n\n')
                self.wfile.write(b"0\r\n\r\n")

            def error_first(self, _request: dict[str, Any]) -> None:
                self.begin()
                self.part(b'data: {"error": {"message": "the engine failed", "code": "x"}}\n\n')
                self.wfile.write(b"0\r\n\r\n")

            def hang(self, _request: dict[str, Any]) -> None:
                self.connection.settimeout(30)
                if not self.connection.recv(1):
                    upstream.left.set()
                self.close_connection = True

            def stall(self, request: dict[str, Any]) -> None:
                self.begin()
                self.part(chunk("Hel"))
                self.hang(request)

            def wait(self, request: dict[str, Any]) -> None:
                self.begin()
                self.part(chunk("Hel"))
                assert upstream.go_on.wait(30)
                self.part(chunk("lo!") + DONE)
                self.wfile.write(b"0\r\n\r\n")

            def busy(self, _request: dict[str, Any]) -> None:
                self.whole({"error": {"message": "slow down"}}, 429, retry_after="7")

            def fail(self, _request: dict[str, Any]) -> None:
                self.whole({"error": {"message": "no"}}, 500)

            def refuse(self, _request: dict[str, Any]) -> None:
                error = {"message": "max_tokens is wrong", "param": "max_tokens", "code": "bad"}
                self.whole({"error": {**error, "type": "invalid_request_error"}}, 400)

            def deny(self, _request: dict[str, Any]) -> None:
                self.whole({"error": {"message": "your key sk-secret is wrong"}}, 401)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # connections are closed on purpose
                pass

            def get_request(self) -> tuple[socket.socket, Any]:
                connection, address = super().get_request()
                upstream.connections.add(connection)
                return connection, address

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on, and break those that there are."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in self.connections:
            with closing(connection), suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class RunningGateway:
    def __init__(self, gateway: Gateway, server: Any, port: int) -> None:
        self.gateway, self.server, self.port = gateway, server, port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def post(self, **fields: Any) -> httpx.Response:
        return self.http.post(CHAT, json=GOOD | fields)

    def metrics(self) -> dict[str, float]:
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(self.http.get("/metrics").text)
            for sample in family.samples
        }


Start = Callable[..., RunningGateway]


@pytest.fixture
def start(run_app: Any) -> Iterator[Start]:
    """``start(one, two, tries=2)``: a gateway over these upstreams."""
    with ExitStack() as stack:

        def gateway(
            *upstreams: FakeUpstream | UpstreamConfig,
            callers: Callers | None = None,
            cache: Any = None,
            server_settings: ServerSettings | None = None,
            health: HealthConfig = NO_PROBES,
            breaker: BreakerConfig = NO_BREAKER,
            queue: QueueConfig = USUAL_QUEUE,
            aliases: dict[str, str] | None = None,
            fallbacks: dict[str, list[str]] | None = None,
            **routing: Any,
        ) -> RunningGateway:
            named = [
                UpstreamConfig(each.url, f"u{i}") if isinstance(each, FakeUpstream) else each
                for i, each in enumerate(upstreams)
            ]
            config = GatewayConfig(
                named,
                aliases=aliases or {},
                fallbacks=fallbacks or {},
                routing=RoutingConfig(**({"backoff": 0.001} | routing)),
                health=health,
                breaker=breaker,
                queue=queue,
            )
            made = Gateway(config, callers, cache, rng=random.Random(0))
            server, port = stack.enter_context(
                run_app(create_gateway_app(made), made, server_settings)
            )
            running = RunningGateway(made, server, port)
            stack.callback(running.http.close)
            return running

        yield gateway


@pytest.fixture
def upstreams() -> Iterator[list[FakeUpstream]]:
    with several(2) as made:
        yield made


@contextmanager
def several(n: int) -> Iterator[list[FakeUpstream]]:
    made = [FakeUpstream() for _ in range(n)]
    try:
        yield made
    finally:
        for each in made:
            each.go_on.set()
            if each._thread.is_alive():
                each.stop()


def events(answer: httpx.Response) -> list[Any]:
    """The data of each event but the last, [DONE]."""
    parts = answer.text.removesuffix(DONE.decode()).strip().split("\n\n")
    return [json.loads(part.partition("data: ")[2]) for part in parts]


def text_of(answer: httpx.Response) -> str:
    choices = [choice for event in events(answer) for choice in event.get("choices", ())]
    return "".join(choice["delta"]["content"] for choice in choices)


def test_the_official_client_over_our_own_server(running: Any, engine: Any, start: Start) -> None:
    gateway = start(UpstreamConfig(f"{running.url}/v1"), aliases={"gpt": "scripted"})
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["gpt", "scripted"]
        assert client.models.retrieve("gpt").id == "gpt"
        for model in ("gpt", "scripted"):
            whole = client.chat.completions.create(**GOOD | {"model": model})
            assert whole.choices[0].message.content == "Hello, world!"
            chunks = list(client.chat.completions.create(**GOOD | {"model": model}, stream=True))
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
            assert text == "Hello, world!"
            assert chunks[-1].choices[0].finish_reason == "stop"
        assert client.completions.create(model="gpt", prompt="x").choices[0].text
        response = client.responses.create(model="gpt", input="hi")
        assert response.output_text == "Hello, world!"
        with client.responses.stream(model="gpt", input="hi") as stream:
            assert stream.get_final_response().output_text == "Hello, world!"
        assert client.embeddings.create(model="gpt", input="abc").data[0].embedding[0] == 3
        with pytest.raises(openai.BadRequestError, match="max_tokens"):
            client.chat.completions.create(**GOOD, max_tokens=-1)
        with pytest.raises(openai.NotFoundError, match="'gpt', 'scripted'"):
            client.chat.completions.create(**GOOD | {"model": "none"})
    assert {request.params.temperature for request in engine.requests} == {1.0}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["die", "die_after_head", "fail", "deny", "error_first"])
def test_what_fails_before_it_begins_is_tried_elsewhere(
    upstreams: list[FakeUpstream], start: Start, stream: bool, behaviour: str
) -> None:
    if behaviour == "error_first" and not stream:
        pytest.skip("an event")
    gateway = start(*upstreams)
    upstreams[0].behaviour = behaviour
    for _ in range(12):  # whichever comes first
        before = len(upstreams[0].bodies)
        answer = gateway.post(stream=stream)
        assert answer.status_code == 200
        assert len(upstreams[0].bodies) <= before + 1
        assert answer.headers["x-groundup-upstream"] == "u1"
        if stream:
            assert text_of(answer) == "Hello!"
            assert answer.text.endswith(DONE.decode())
        else:
            assert answer.json()["choices"][0]["message"]["content"] == "Hello!"
    assert upstreams[0].bodies
    assert len(upstreams[1].bodies) == 12
    metrics = gateway.metrics()
    assert metrics["groundup:upstream_tries_total failed u0"] == len(upstreams[0].bodies)
    assert metrics["groundup:upstream_tries_total ok u1"] == 12
    assert metrics["vllm:num_requests_running"] == 0
    assert metrics["groundup:upstream_outstanding u0"] == 0


def test_a_whole_answer_that_breaks_off_is_tried_elsewhere(
    upstreams: list[FakeUpstream], start: Start
) -> None:
    gateway = start(*upstreams)
    upstreams[0].behaviour = "die_in_body"
    assert {gateway.post().json()["id"] for _ in range(6)} == {"c"}
    assert upstreams[0].bodies


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("die_in_body", "u0 broke off"),
        ("end_early", "u0 broke off"),
        ("error_event", "the engine failed"),
        ("stall", "longer than the gateway waits"),
    ],
)
def test_what_breaks_off_in_a_stream_is_told_and_not_repeated(
    upstreams: list[FakeUpstream], start: Start, behaviour: str, said: str
) -> None:
    upstreams[1].healthy = False
    gateway = start(*upstreams, idle_deadline=0.3)
    upstreams[0].behaviour = behaviour
    answer = gateway.post(stream=True)
    assert answer.status_code == 200
    first, error = events(answer)
    assert first["choices"][0]["delta"]["content"] == "Hel"
    assert said in error["error"]["message"]
    assert len(upstreams[0].bodies) == 1
    assert not upstreams[1].bodies
    assert gateway.metrics()["groundup:upstream_tries_total broken u0"] == 1
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.APIError, match=said),
    ):
        list(client.chat.completions.create(**GOOD, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_is_slow(
    upstreams: list[FakeUpstream], start: Start, stream: bool
) -> None:
    upstreams[0].behaviour = upstreams[1].behaviour = "hang"
    gateway = start(*upstreams, try_deadline=0.2, tries=2)
    answer = gateway.post(stream=stream)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert len(upstreams[0].bodies) == len(upstreams[1].bodies) == 1
    assert upstreams[0].left.wait(10)  # they are told
    assert upstreams[1].left.wait(10)
    upstreams[1].behaviour = "answer"
    assert gateway.post(stream=stream).status_code == 200


def test_the_total_deadline(upstreams: list[FakeUpstream], start: Start) -> None:
    upstreams[0].behaviour = "hang"
    gateway = start(upstreams[0], try_deadline=1000, total_deadline=0.3, tries=20)
    assert gateway.post().status_code == 504
    upstreams[0].behaviour = "stall"
    _, error = events(gateway.post(stream=True))
    assert error["error"]["code"] == "deadline_exceeded"
    assert len(upstreams[0].bodies) == 2


def test_an_upstream_that_is_busy(upstreams: list[FakeUpstream], start: Start) -> None:
    gateway = start(*upstreams)
    upstreams[0].behaviour = "busy"
    assert all(gateway.post().status_code == 200 for _ in range(6))
    assert len(upstreams[0].bodies) == 1  # it asked for 7 seconds of rest
    upstreams[1].behaviour = "busy"
    for _ in range(2):  # when the last of them says so, and when all rest
        answer = gateway.post()
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 7
        assert answer.json()["error"]["code"] == "upstream_busy"
    assert (len(upstreams[0].bodies), len(upstreams[1].bodies)) == (1, 7)


def test_what_an_upstream_refuses_is_passed_on(upstreams: list[FakeUpstream], start: Start) -> None:
    gateway = start(*upstreams)
    upstreams[0].behaviour = upstreams[1].behaviour = "refuse"
    answer = gateway.post()
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "max_tokens"
    assert len(upstreams[0].bodies) + len(upstreams[1].bodies) == 1  # another would say the same


def test_all_down(upstreams: list[FakeUpstream], start: Start) -> None:
    gateway = start(*upstreams)
    assert gateway.http.get("/ready").status_code == 200
    for each in upstreams:
        each.stop()
    for stream in (False, True):
        answer = gateway.post(stream=stream)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "u0 failed" in answer.json()["error"]["message"]
        assert "u1 failed" in answer.json()["error"]["message"]


def test_an_upstreams_key_is_wrong(upstreams: list[FakeUpstream], start: Start) -> None:
    upstreams[0].behaviour = "deny"
    answer = start(upstreams[0]).post()
    assert answer.status_code == 503  # the caller's own key is right
    assert "401" in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_health_checks(upstreams: list[FakeUpstream], start: Start, wait_until: Any) -> None:
    upstreams[0].healthy = False
    gateway = start(*upstreams, health=HealthConfig(interval=0.05, deadline=5))
    for _ in range(4):
        assert gateway.post().headers["x-groundup-upstream"] == "u1"
    assert not upstreams[0].bodies
    assert gateway.metrics()["groundup:upstream_up u0"] == 0
    upstreams[0].healthy = True
    wait_until(lambda: gateway.metrics()["groundup:upstream_up u0"] == 1)
    upstreams[1].healthy = False
    wait_until(lambda: gateway.metrics()["groundup:upstream_up u1"] == 0)
    assert gateway.post().headers["x-groundup-upstream"] == "u0"
    upstreams[0].healthy = False
    wait_until(lambda: gateway.http.get("/ready").status_code == 503)
    answer = gateway.post()
    assert answer.status_code == 503
    assert "u1 is down: GET /models answered 503" in answer.json()["error"]["message"]


def test_the_breaker_opens_and_recovers(
    upstreams: list[FakeUpstream], start: Start, wait_until: Any
) -> None:
    breaker = BreakerConfig(min_calls=3, failure_rate=0.5, open_seconds=0.4)
    gateway = start(*upstreams, breaker=breaker)
    upstreams[0].behaviour = "fail"
    while gateway.metrics()["groundup:upstream_breaker_open u0"] == 0:
        assert gateway.post().status_code == 200
    tried = len(upstreams[0].bodies)
    assert tried == 3
    upstreams[0].behaviour = "answer"
    upstreams[1].behaviour = "fail"
    # Open: it is not asked, although the other one fails.
    assert gateway.post().status_code == 503
    assert len(upstreams[0].bodies) == tried
    upstreams[1].behaviour = "answer"
    wait_until(lambda: gateway.post().headers["x-groundup-upstream"] == "u0")
    assert gateway.metrics()["groundup:upstream_breaker_open u0"] == 0


def test_fallback_models_and_names(start: Start) -> None:
    with several(2) as (one, two):
        gateway = start(
            UpstreamConfig(one.url, "one", models=["large"]),
            UpstreamConfig(two.url, "two", models={"small": "small-v2"}),
            fallbacks={"large": ["small"]},
            aliases={"gpt": "large"},
        )
        answer = gateway.post(model="gpt")
        assert "x-groundup-fallback-model" not in answer.headers
        assert one.bodies[-1]["model"] == "large"
        for behaviour in ("fail", "die", "busy"):
            one.behaviour = behaviour
            for stream in (False, True):
                answer = gateway.post(model="gpt", stream=stream)
                assert answer.status_code == 200
                assert answer.headers["x-groundup-fallback-model"] == "small"
                assert answer.headers["x-groundup-upstream"] == "two"
                assert two.bodies[-1] == GOOD | {"model": "small-v2", "stream": stream}
        assert gateway.metrics()["groundup:fallbacks_total small large"] == 6
        one.behaviour = "refuse"  # the request is wrong, whoever is asked; but it is left alone
        assert gateway.post(model="small").status_code == 200
        missing = gateway.post(model="medium")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"


def test_an_upstreams_own_key(
    upstreams: list[FakeUpstream], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-theirs")
    callers = Callers(["ours"])
    gateway = start(UpstreamConfig(upstreams[0].url, api_key_env="THEIR_KEY"), callers=callers)
    assert gateway.post().status_code == 401
    headers = {"authorization": "Bearer ours"}
    assert gateway.http.post(CHAT, json=GOOD, headers=headers).status_code == 200
    assert upstreams[0].headers[-1]["authorization"] == "Bearer sk-theirs"


def test_prefix_affinity(start: Start) -> None:
    with several(4) as made:
        gateway = start(*made, policy="prefix_affinity")
        seen: dict[int, set[str]] = {}
        for system in range(12):
            for question in range(3):
                messages = [
                    {"role": "system", "content": f"{system}" * 2000},
                    {"role": "user", "content": f"question {question}"},
                ]
                answer = gateway.post(messages=messages)
                seen.setdefault(system, set()).add(answer.headers["x-groundup-upstream"])
        assert all(len(each) == 1 for each in seen.values())
        assert len(set.union(*seen.values())) > 1


@pytest.mark.parametrize("policy", ["least_outstanding", "power_of_two_choices"])
def test_load_goes_where_there_is_less(
    upstreams: list[FakeUpstream], start: Start, wait_until: Any, policy: str
) -> None:
    upstreams[0].behaviour = "wait"
    gateway = start(*upstreams, policy=policy)
    with ExitStack() as stack:
        while not upstreams[0].bodies:  # one that stays outstanding
            stack.enter_context(gateway.http.stream("POST", CHAT, json=GOOD | {"stream": True}))
        before = len(upstreams[1].bodies)
        for _ in range(8):
            assert gateway.post().headers["x-groundup-upstream"] == "u1"
        assert len(upstreams[1].bodies) == before + 8
        upstreams[0].go_on.set()


@pytest.mark.parametrize("behaviour", ["hang", "stall"])
def test_a_client_that_leaves(
    upstreams: list[FakeUpstream], start: Start, wait_until: Any, behaviour: str
) -> None:
    upstreams[0].behaviour = behaviour
    gateway = start(upstreams[0])
    body = json.dumps(GOOD | {"stream": True}).encode()
    with closing(socket.create_connection(("127.0.0.1", gateway.port))) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        wait_until(lambda: upstreams[0].bodies)
        assert not upstreams[0].left.is_set()
    assert upstreams[0].left.wait(10)
    wait_until(lambda: not gateway.gateway.in_flight)
    metrics = gateway.metrics()
    assert metrics["vllm:num_requests_running"] == 0
    assert metrics["groundup:upstream_outstanding u0"] == 0


def test_a_queue_with_an_end(upstreams: list[FakeUpstream], start: Start, wait_until: Any) -> None:
    upstreams[0].behaviour = "wait"
    gateway = start(upstreams[0], queue=QueueConfig(places=1, waiting=1, deadline=0.5))
    with gateway.http.stream("POST", CHAT, json=GOOD | {"stream": True}) as held:
        assert held.status_code == 200
        late: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: late.append(httpx.post(gateway.url + CHAT, json=GOOD, timeout=30))
        )
        thread.start()
        wait_until(lambda: gateway.gateway.admission.waiting == 1)
        full = gateway.post()
        assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
        thread.join()
        assert late[0].status_code == 503
        upstreams[0].go_on.set()
    upstreams[0].behaviour = "answer"
    assert gateway.post().status_code == 200


def test_a_drain(upstreams: list[FakeUpstream], start: Start) -> None:
    upstreams[0].behaviour = "wait"
    gateway = start(upstreams[0], server_settings=ServerSettings(drain_deadline=20))
    with gateway.http.stream("POST", CHAT, json=GOOD | {"stream": True}) as held:
        parts = held.iter_bytes()
        said = next(parts)
        gateway.server.handle_exit(15, None)
        assert httpx.get(f"{gateway.url}/ready").status_code == 503
        assert httpx.post(gateway.url + CHAT, json=GOOD).status_code == 503
        upstreams[0].go_on.set()
        said += b"".join(parts)
    assert said == chunk("Hel") + chunk("lo!") + DONE


@pytest.mark.parametrize("asks", [False, True])
def test_a_streams_tokens_are_counted_for_its_key(
    upstreams: list[FakeUpstream], start: Start, tmp_path: Any, asks: bool, wait_until: Any
) -> None:
    path = tmp_path / "keys.toml"
    write_keys(path, {"a": ApiKey(digest_of(b"a"), tokens_per_minute=1000)})
    gateway = start(upstreams[0], callers=Callers(file=path))
    headers = {"authorization": "Bearer a"}
    options = {"stream_options": {"include_usage": True}} if asks else {}
    answer = gateway.http.post(
        CHAT, json=GOOD | {"stream": True, "max_tokens": 10} | options, headers=headers
    )
    assert text_of(answer) == "Hello!"
    assert ("usage" in answer.text) is asks
    assert upstreams[0].bodies[-1]["stream_options"] == {"include_usage": True}
    left = gateway.http.post(CHAT, json=GOOD, headers=headers).headers
    assert left["x-ratelimit-limit-tokens"] == "1000"
    assert 993 <= int(left["x-ratelimit-remaining-tokens"]) <= 994  # a little comes back at once


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"{", "not JSON"), (b"[]", "expected"), (b"{}", "model"), (b'{"model": 3}', "model")],
)
def test_bad_bodies(upstreams: list[FakeUpstream], start: Start, body: bytes, said: str) -> None:
    answer = start(upstreams[0]).http.post(CHAT, content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"].lower().replace("json", "JSON")
    assert not upstreams[0].bodies


def test_nothing_is_left_after_load(
    upstreams: list[FakeUpstream], start: Start, wait_until: Any
) -> None:
    """One of two dies in the middle of it: all that had not begun is answered."""
    gateway = start(*upstreams, tries=4)
    got: list[httpx.Response] = []

    def post(stream: bool) -> None:
        with httpx.Client(base_url=gateway.url, timeout=30) as client:
            got.extend(client.post(CHAT, json=GOOD | {"stream": stream}) for _ in range(10))

    threads = [threading.Thread(target=post, args=(i % 2 == 0,)) for i in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    upstreams[0].stop()
    for thread in threads:
        thread.join()
    assert len(got) == 60
    for answer in got:
        assert answer.status_code == 200
        if "event-stream" in answer.headers["content-type"]:
            assert text_of(answer) == "Hello!" or "broke off" in answer.text
    wait_until(lambda: not gateway.gateway.in_flight)
    assert gateway.gateway.admission.running == 0
    assert all(each.outstanding == 0 for each in gateway.gateway.upstreams)
