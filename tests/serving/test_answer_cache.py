"""Answers that are told again: the same bytes, to those who may have them, within their limits."""

import asyncio
import json
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from prometheus_client.parser import text_string_to_metric_families

from groundup.course.grader.clock import Clock
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.api_error import ApiError
from groundup.serving.api_keys import ApiKey, digest_of, write_keys
from groundup.serving.budget_ledger import BudgetLedger
from groundup.serving.budgets import Budgets
from groundup.serving.callers import Callers
from groundup.serving.redis_connection import RedisConnection
from groundup.serving.response_cache import ResponseCache
from groundup.serving.response_cache_redis import RedisResponseCache
from groundup.serving.similar_answers import SimilarAnswers

CHAT = "/v1/chat/completions"
SAYS = [{"role": "user", "content": "hi"}]
CHAT_BODY: Any = {"model": "scripted", "messages": SAYS, "temperature": 0}
STREAM: Any = {"stream": True}
BODIES: list[tuple[str, dict[str, Any]]] = [
    (CHAT, CHAT_BODY),
    (CHAT, CHAT_BODY | STREAM),
    (CHAT, CHAT_BODY | STREAM | {"stream_options": {"include_usage": True}}),
    ("/v1/completions", {"model": "scripted", "prompt": "a", "temperature": 0}),
    ("/v1/completions", {"model": "scripted", "prompt": "a", "seed": 3, "stream": True}),
    ("/v1/responses", {"model": "scripted", "input": "hi", "temperature": 0}),
    ("/v1/responses", {"model": "scripted", "input": "hi", "temperature": 0, "stream": True}),
    ("/v1/embeddings", {"model": "scripted", "input": ["a", "b"]}),
]


def new_cache(**options: Any) -> AnswerCache:
    return AnswerCache(ResponseCache(max_bytes=2**20, ttl=1000), **options)


def outcome(answer: httpx.Response) -> str | None:
    found: str | None = answer.headers.get("x-groundup-cache")
    return found


@pytest.fixture
def post(run_server: Any, new_engine: Any) -> Any:
    """``post(path, body)`` to a server with a cache; ``post.running`` is the server."""
    with (
        run_server(new_engine(), cache=new_cache()) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):

        def ask(path: str, body: Any) -> httpx.Response:
            return client.post(path, json=body)

        ask.running = running  # type: ignore[attr-defined]
        yield ask


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_told_again_byte_for_byte(post: Any, path: str, body: dict[str, Any]) -> None:
    engine = post.running.engine
    first = post(path, body)
    assert (first.status_code, outcome(first)) == (200, "miss")
    asked = len(engine.requests)
    engine.text = "another answer"
    # Once as it was written before, once in another way: the two levels of the cache.
    other = {name: body[name] for name in reversed(body)} | {"user": None}
    for again in (post(path, body), post(path, other), post(path, other)):
        assert (again.status_code, outcome(again)) == (200, "hit")
        assert again.content == first.content
        assert again.headers["content-type"] == first.headers["content-type"]
    assert len(engine.requests) == asked
    assert outcome(post(path, body | {"model": "none"})) is None


def test_the_official_client_reads_a_replayed_stream(post: Any) -> None:
    texts = []
    with openai.OpenAI(base_url=f"{post.running.url}/v1", api_key="none") as client:
        for _ in range(3):
            chunks = list(client.chat.completions.create(**CHAT_BODY, stream=True))
            texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
            assert chunks[-1].choices[0].finish_reason == "stop"
    assert texts == ["Hello, world!"] * 3
    assert len(post.running.engine.requests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, STREAM),
        (STREAM, STREAM | {"stream_options": {"include_usage": True}}),
        ({}, {"messages": [{"role": "user", "content": "ho"}]}),
        ({}, {"max_tokens": 3}),
        ({"temperature": 1, "seed": 1}, {"temperature": 1, "seed": 2}),
    ],
)
def test_what_differs_is_computed(post: Any, one: Any, other: Any) -> None:
    assert outcome(post(CHAT, CHAT_BODY | one)) == "miss"
    assert outcome(post(CHAT, CHAT_BODY | other)) == "miss"
    assert outcome(post(CHAT, CHAT_BODY | one)) == "hit"
    assert outcome(post(CHAT, CHAT_BODY | other)) == "hit"


def test_what_an_answer_repeats_of_its_request_must_be_equal(post: Any) -> None:
    body = {"model": "scripted", "input": "hi", "temperature": 0}
    for metadata in ({"a": "1"}, {"a": "2"}):
        for expected in ("miss", "hit"):
            answer = post("/v1/responses", body | {"metadata": metadata})
            assert outcome(answer) == expected
            assert answer.json()["metadata"] == metadata


@pytest.mark.parametrize("fields", [{"temperature": 1}, {"temperature": None}, STREAM])
def test_what_draws_is_computed(post: Any, fields: Any) -> None:
    body = {"model": "scripted", "messages": SAYS} | fields
    for _ in range(2):
        assert outcome(post(CHAT, body)) is None
    assert len(post.running.engine.requests) == 2


def test_what_is_wrong_or_fails_is_not_kept(post: Any) -> None:
    engine = post.running.engine
    engine.failure, engine.failure_after = RuntimeError("planted"), 3
    assert post(CHAT, CHAT_BODY).status_code == 500
    assert '"error"' in post(CHAT, CHAT_BODY | STREAM).text
    engine.failure = None
    for body in (CHAT_BODY, CHAT_BODY | STREAM):
        assert outcome(post(CHAT, body)) == "miss"
        assert '"error"' not in post(CHAT, body).text
    # None of these has the answer that is kept for what they are nearly equal to.
    for wrong in ({"stream": "yes"}, {"stream": 1}, {"max_tokens": -1}, {"seed": "x"}):
        assert post(CHAT, CHAT_BODY | wrong).status_code == 400
        assert post(CHAT, CHAT_BODY | wrong).status_code == 400
    raw = httpx.post(post.running.url + CHAT, content=b'{"model": NaN}')
    assert raw.status_code == 400


def test_a_stream_that_its_client_left_is_not_kept(post: Any, wait_until: Any) -> None:
    running = post.running
    running.engine.hang_after = 4
    body = json.dumps(CHAT_BODY | STREAM).encode()
    with closing(socket.create_connection(("127.0.0.1", running.port))) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        wait_until(lambda: running.engine.open == 1)
        client.recv(100)
    wait_until(lambda: running.engine.open == 0)
    running.engine.hang_after = None
    answer = post(CHAT, CHAT_BODY | STREAM)
    assert outcome(answer) == "miss"
    assert "[DONE]" in answer.text


def test_equal_requests_at_once_are_computed_once(post: Any, wait_until: Any) -> None:
    running = post.running
    running.engine.delay = 0.02
    got: list[httpx.Response] = []
    threads = [
        threading.Thread(
            target=lambda: got.append(httpx.post(running.url + CHAT, json=CHAT_BODY, timeout=30))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.content for answer in got}) == 1
    assert len(running.engine.requests) == 1
    # One that leaves does not end what the others wait for.
    running.engine.reset()
    running.engine.delay = 0.05
    lookups = running.service.cache.lookups
    before = lookups["miss"]
    body = json.dumps(CHAT_BODY | {"max_tokens": 12}).encode()
    with closing(socket.create_connection(("127.0.0.1", running.port))) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        wait_until(lambda: running.engine.open == 1)
        other = threading.Thread(
            target=lambda: got.append(
                httpx.post(running.url + CHAT, json=CHAT_BODY | {"max_tokens": 12}, timeout=30)
            )
        )
        other.start()
        wait_until(lambda: lookups["miss"] == before + 2)  # both wait for the same
    other.join()
    assert got[-1].status_code == 200
    assert len(running.engine.requests) == 1


def values(url: str, key: str) -> dict[str, float]:
    headers = {"authorization": f"Bearer {key}"}
    text = httpx.get(f"{url}/metrics", headers=headers).text
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "groundup:answer_cache_lookups_total"
    }


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fields", [{}, STREAM])
def test_who_gets_whose_answers(
    run_server: Any, new_engine: Any, tmp_path: Path, shared: bool, fields: Any
) -> None:
    path = tmp_path / "keys.toml"
    names = ["a", "b"]
    keys = {name: ApiKey(digest_of(name.encode()), token_budget=10**6) for name in names}
    keys["few"] = ApiKey(digest_of(b"few"), request_budget=2)
    write_keys(path, keys)
    budgets = Budgets(BudgetLedger(tmp_path / "b"))
    callers = Callers(file=path, budgets=budgets)
    with run_server(new_engine(), callers=callers, cache=new_cache(shared=shared)) as running:

        def post(key: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {key}"}
            return httpx.post(running.url + CHAT, json=CHAT_BODY | fields, headers=headers)

        first = post("a")
        assert outcome(first) == "miss"
        assert outcome(post("a")) == "hit"
        assert outcome(post("b")) == ("hit" if shared else "miss")
        assert outcome(post("b")) == "hit"
        assert (post("b").content == first.content) is shared
        assert httpx.post(running.url + CHAT, json=CHAT_BODY | fields).status_code == 401
        # A hit is a request like others, and costs no tokens.
        assert [post("few").status_code for _ in range(3)] == [200, 200, 429]
        used = budgets.used(keys["a"])
        assert used.requests == 2
        assert budgets.used(keys["b"]).tokens == (0 if shared else used.tokens)
        assert used.tokens > 0
        hits, misses = (6, 1) if shared else (4, 3)
        assert values(running.url, "a") == {"hit": hits, "similar": 0, "miss": misses}


def test_in_redis_servers_share(run_server: Any, new_engine: Any) -> None:
    server = FakeServer()

    def cache() -> AnswerCache:
        connection = RedisConnection(FakeAsyncRedis(server=server), timeout=30)
        return new_cache(redis=RedisResponseCache(connection, ttl=9))

    with (
        run_server(new_engine(), cache=cache()) as one,
        run_server(new_engine(), cache=cache()) as other,
    ):
        for fields in (CHAT_BODY, CHAT_BODY | STREAM):
            first = httpx.post(one.url + CHAT, json=fields)
            again = httpx.post(other.url + CHAT, json=fields)
            assert (outcome(first), outcome(again)) == ("miss", "hit")
            assert again.content == first.content
        assert not other.engine.requests


def test_redis_that_tells_some_late_makes_nothing_computed_twice() -> None:
    class Late(RedisResponseCache):
        """It saw no answer for any of them; a number of turns later each is told so."""

        def __init__(self) -> None:
            super().__init__(RedisConnection(FakeAsyncRedis()), ttl=9)
            self.turns = iter(range(20))

        async def get(self, key: str) -> None:
            for _ in range(next(self.turns)):
                await asyncio.sleep(0)

        async def put(self, key: str, answer: bytes) -> None:
            await asyncio.sleep(0)

    async def scenario() -> None:
        cache = new_cache(redis=Late())
        computed = 0

        async def compute() -> bytes:
            nonlocal computed
            computed += 1
            await asyncio.sleep(0)
            return b"answer"

        body = b'{"seed": 1}'
        digest = cache.digest("", CHAT, body)
        asked = [cache.answer(digest, "", CHAT, body, compute) for _ in range(20)]
        assert {reply.body for reply in await asyncio.gather(*asked)} == {b"answer"}  # type: ignore[union-attr]
        assert computed == 1

    asyncio.run(scenario())


def test_without_redis_answers_are_computed(run_server: Any, new_engine: Any) -> None:
    server = FakeServer()
    server.connected = False
    connection = RedisConnection(FakeAsyncRedis(server=server), timeout=30)
    cache = new_cache(redis=RedisResponseCache(connection, ttl=9))
    with run_server(new_engine(), cache=cache) as running:
        answers = [httpx.post(running.url + CHAT, json=CHAT_BODY) for _ in range(2)]
        assert [outcome(answer) for answer in answers] == ["miss", "hit"]  # this one's memory


def test_answers_end_and_leave(clock: Clock) -> None:
    async def scenario() -> None:
        cache = AnswerCache(ResponseCache(max_bytes=600, ttl=10, clock=clock))
        computed = 0

        async def compute() -> bytes:
            nonlocal computed
            computed += 1
            return b"x" * 100

        async def ask(seed: int) -> bool:
            body = b'{"seed": %d}' % seed
            digest = cache.digest("", CHAT, body)
            if cache.recall(digest) is None:
                await cache.answer(digest, "", CHAT, body, compute)
                return False
            return True

        assert [await ask(1), await ask(1)] == [False, True]
        clock.now += 10
        assert [await ask(1), await ask(1)] == [False, True]
        for seed in range(2, 9):  # there is room for two or three
            await ask(seed)
        assert not await ask(1)
        assert computed == 10

    asyncio.run(scenario())


def test_digests_tell_apart() -> None:
    parts = [
        ("a", "b", b"c"),
        ("ab", "", b"c"),
        ("a", "bc", b""),
        ("", "ab", b"c"),
        ("a", "b", b""),
    ]
    assert len({AnswerCache.digest(*each) for each in parts}) == len(parts)


NEAR = {"What is the capital of France?": 0.0, "Which city is France's capital?": 0.1, "Why?": 1.2}


@pytest.mark.parametrize("stream", [False, True])
def test_similar_questions(run_server: Any, new_engine: Any, stream: bool) -> None:
    async def embed(text: str) -> Any:
        if text not in NEAR:
            raise ApiError(503, "planted")
        return np.array([np.cos(NEAR[text]), np.sin(NEAR[text])])

    similar = SimilarAnswers(embed, threshold=0.98, max_entries=10, ttl=100)
    with run_server(new_engine(), cache=new_cache(similar=similar)) as running:

        def ask(question: str, **fields: Any) -> httpx.Response:
            messages = [{"role": "user", "content": question}]
            if system := fields.pop("system", None):
                messages.insert(0, {"role": "system", "content": system})
            body = CHAT_BODY | {"messages": messages, "stream": stream} | fields
            return httpx.post(running.url + CHAT, json=body)

        one, two, three = NEAR
        first = ask(one)
        assert outcome(first) == "miss"
        assert outcome(ask(two)) == "similar"
        assert ask(two).content == first.content
        assert outcome(ask(one)) == "hit"
        assert outcome(ask(three)) == "miss"
        assert outcome(ask(two, system="Be brief.")) == "miss"
        assert outcome(ask(two, max_tokens=3)) == "miss"
        assert outcome(ask(two, stream=not stream)) == "miss"
        assert outcome(ask(two, temperature=1)) is None
        assert outcome(ask("no embedding")) == "miss"  # it goes on without
        assert ask("no embedding").status_code == 200
