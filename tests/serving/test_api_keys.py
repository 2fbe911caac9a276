"""Keys, their file, their budgets and their limits, over HTTP and across restarts."""

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from redis.asyncio import Redis

from groundup.errors import GroundupError
from groundup.serving.api_error import ApiError
from groundup.serving.api_keys import ApiKey, digest_of, new_key, read_keys, write_keys
from groundup.serving.budget_ledger import Account, BudgetLedger, Ledger, Use
from groundup.serving.budget_ledger_redis import RedisBudgetLedger
from groundup.serving.budgets import Budgets
from groundup.serving.callers import Callers
from groundup.serving.rate_limits_redis import RedisRateLimits
from groundup.serving.redis_connection import RedisConnection
from groundup.serving.usage import estimated_tokens

CHAT = "/v1/chat/completions"
GOOD: Any = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}


class Time:
    """A clock in UTC that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def post(url: str, key: str, **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(url + CHAT, json=GOOD | fields, headers=headers, timeout=30)


def test_the_file_holds_what_was_written_and_no_key(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.toml"
    key, digest = new_key()
    other, _ = new_key()
    assert key != other
    assert len(key) > 40
    keys = {
        "all-of_it": ApiKey(digest, 1, 2, 3, 10**15, "day", "2026-11-24"),
        "nothing": ApiKey(digest_of(b"x")),
    }
    write_keys(path, keys)
    assert read_keys(path) == keys
    assert list(read_keys(path)) == ["all-of_it", "nothing"]
    assert key not in path.read_text()
    assert not stat.S_IMODE(path.stat().st_mode) & 0o022
    with pytest.raises(GroundupError, match=r"letters, digits, - and _, got 'a.b'"):
        write_keys(path, {"a.b": keys["nothing"]})
    assert read_keys(path) == keys


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[keys", "is not TOML"),
        ("[keys.a]", "key 'sha256' is missing"),
        ('[keys.a]\nsha256 = "12"', "sha256: expected str matching regex"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\ntoken_budget = -5', "token_budget: expected int >= 1"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\ntokens = 5', "there is no key 'tokens'"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\nperiod = "week"', "day|month|total"),
        (f'[keys.a]\nsha256 = "{"0" * 64}"\n[keys.b]\nsha256 = "{"0" * 64}"', "a and b are the"),
        ("[key.a]", "there is no key 'key'"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(GroundupError) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    with pytest.raises(GroundupError, match="cannot read"):
        read_keys(tmp_path / "none")


def test_estimates() -> None:
    def body(**fields: Any) -> bytes:
        return json.dumps(fields).encode()

    assert estimated_tokens(b"x" * 400) == 100  # not JSON: refused later
    assert estimated_tokens(body(prompt="x" * 4000)) == pytest.approx(1000 + 256, abs=5)
    assert estimated_tokens(body(max_tokens=50)) == pytest.approx(50, abs=5)
    assert estimated_tokens(body(max_completion_tokens=50, n=3)) == pytest.approx(150, abs=9)
    assert estimated_tokens(body(max_output_tokens=0)) == pytest.approx(0, abs=6)
    assert estimated_tokens(body(max_tokens=-9, n=-2)) == pytest.approx(0, abs=6)
    assert estimated_tokens(body(max_tokens="x")) == pytest.approx(0, abs=6)


def ledgers(path: Path, client: Redis) -> list[Ledger]:
    return [
        BudgetLedger(path / "new" / "budgets.sqlite"),
        RedisBudgetLedger(RedisConnection(client, timeout=30.0)),
    ]


def test_ledgers_add_up_what_several_processes_use(
    tmp_path: Path, new_redis: Callable[[], Redis]
) -> None:
    async def scenario() -> None:
        clients = [new_redis(), new_redis()]
        for one, other in zip(*(ledgers(tmp_path, client) for client in clients), strict=True):
            a, b = Account("a" * 64, "2026-11"), Account("b" * 64, "total")
            assert await one.add({a: Use()}) == {a: Use(0, 0)}
            assert await one.add({a: Use(1, 10), b: Use(2, 0)}) == {a: (1, 10), b: (2, 0)}
            assert await other.add({a: Use(3, 2**40)}) == {a: (4, 10 + 2**40)}
            assert await one.add({a: Use(), b: Use(0, 5)}) == {a: (4, 10 + 2**40), b: (2, 5)}
            await asyncio.gather(*(each.add({b: Use(1, 1)}) for each in (one, other) * 20))
            assert await one.add({b: Use()}) == {b: (42, 45)}
            await one.close()
            await other.close()
        for client in clients:
            await client.aclose()

    asyncio.run(scenario())


def test_a_ledger_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "budgets.sqlite"
    path.write_text("a letter" * 1000)
    with pytest.raises(GroundupError, match=r"cannot keep budgets in .*budgets.sqlite"):
        BudgetLedger(path)


def test_budgets_by_period(tmp_path: Path) -> None:
    time = Time()
    day = ApiKey("1" * 64, request_budget=2, period="day")
    month = ApiKey("2" * 64, token_budget=100, period="month")
    total = ApiKey("3" * 64, token_budget=100, period="total")

    async def scenario() -> None:
        budgets = Budgets(BudgetLedger(tmp_path / "b"), clock=time)
        await budgets.load([day, month, total])
        budgets.count(day, Use(requests=1))
        budgets.check(day)
        budgets.count(day, Use(requests=1))
        with pytest.raises(ApiError, match="2 requests a day is used up") as caught:
            budgets.check(day)
        assert (caught.value.status, caught.value.retry_after) == (429, 30)
        assert caught.value.code == "insufficient_quota"
        for key in (month, total):
            budgets.count(key, Use(tokens=99))
            budgets.check(key)
            budgets.reserve(key, 1)  # an answer that is under way
            with pytest.raises(ApiError, match="100 tokens"):
                budgets.check(key)
            budgets.reserve(key, -1)
            budgets.check(key)
            budgets.count(key, Use(tokens=1))
            with pytest.raises(ApiError, match="100 tokens") as caught:
                budgets.check(key)
            assert caught.value.retry_after == (30 if key is month else None)
        await budgets.close()

        again = Budgets(BudgetLedger(tmp_path / "b"), clock=time)  # after a restart
        await again.load([day, month, total])
        assert again.used(total) == (0, 100)
        for key in (day, month, total):
            with pytest.raises(ApiError):
                again.check(key)
        time.now += timedelta(seconds=30)  # a new year
        again.check(day)
        again.check(month)
        with pytest.raises(ApiError):
            again.check(total)
        again.count(day, Use(1, 1))
        await again.flush()  # forgets what is over
        assert set(again._used) == {Account("1" * 64, "2027-01-01"), Account("3" * 64, "total")}
        await again.close()

    asyncio.run(scenario())


def test_months_of_all_lengths() -> None:
    for month in range(1, 13):
        time = Time()
        time.now = datetime(2028, month, 1, tzinfo=UTC)
        budgets = Budgets(None, clock=time)  # type: ignore[arg-type]  # the ledger is not asked
        key = ApiKey("2" * 64, token_budget=1, period="month")
        budgets.count(key, Use(tokens=1))
        with pytest.raises(ApiError) as caught:
            budgets.check(key)
        assert caught.value.retry_after is not None
        ends = time.now + timedelta(seconds=caught.value.retry_after)
        assert (ends.month, ends.day, ends.hour) == (month % 12 + 1, 1, 0)


def test_processes_learn_of_each_other(tmp_path: Path) -> None:
    key = ApiKey("1" * 64, token_budget=100, period="total")

    async def scenario() -> None:
        one, other = (Budgets(BudgetLedger(tmp_path / "b")) for _ in range(2))
        await one.load([key])
        await other.load([key])
        one.count(key, Use(tokens=60))
        await one.flush()
        other.count(key, Use(tokens=60))
        other.check(key)
        await other.flush()
        assert other.used(key) == (0, 120)
        with pytest.raises(ApiError):
            other.check(key)
        await one.close()
        await other.close()

    asyncio.run(scenario())


def test_a_ledger_that_fails_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = ApiKey("1" * 64, token_budget=100)

    async def scenario() -> None:
        ledger = BudgetLedger(tmp_path / "b")
        budgets = Budgets(ledger)
        await budgets.load([key])
        with sqlite3.connect(tmp_path / "b") as other:
            ledger._database.execute("PRAGMA busy_timeout = 1")
            other.execute("BEGIN EXCLUSIVE")
            budgets.count(key, Use(1, 40))
            await budgets.flush()
            budgets.count(key, Use(1, 40))
            await budgets.flush()
            assert len(caplog.records) == 1
            assert budgets.used(key) == (2, 80)
            other.rollback()
        other.close()
        await budgets.flush()
        assert await ledger.add({budgets._account(key): Use()}) == {
            budgets._account(key): Use(2, 80)
        }
        await budgets.close()

    asyncio.run(scenario())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Keys named like themselves."""
    path = tmp_path / "keys.toml"
    write_keys(
        path,
        {
            "free": ApiKey(digest_of(b"free")),
            "slow": ApiKey(digest_of(b"slow"), requests_per_minute=2),
            "short": ApiKey(digest_of(b"short"), tokens_per_minute=60),
            "few": ApiKey(digest_of(b"few"), request_budget=2, period="total"),
            "poor": ApiKey(digest_of(b"poor"), token_budget=60, period="total"),
        },
    )
    return path


def test_limits_over_http(run_server: Any, new_engine: Any, key_file: Path) -> None:
    budgets = Budgets(BudgetLedger(key_file.parent / "b"))
    with run_server(new_engine(), callers=Callers(file=key_file, budgets=budgets)) as running:
        url = running.url
        assert httpx.post(url + CHAT, json=GOOD).status_code == 401
        assert post(url, "gu-unknown").status_code == 401
        answer = post(url, "free")
        assert answer.status_code == 200
        assert "x-ratelimit-limit-requests" not in answer.headers

        first, second, third = (post(url, "slow") for _ in range(3))
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"].startswith("30.")
        assert second.status_code == 200
        assert third.status_code == 429
        assert 1 <= int(third.headers["retry-after"]) <= 30
        assert third.json()["error"]["code"] == "rate_limit_exceeded"
        assert third.json()["error"]["type"] == "rate_limit_error"
        key = {"authorization": "Bearer slow"}
        assert httpx.get(f"{url}/v1/models", headers=key).status_code == 200  # is not counted

        usage = post(url, "short", max_tokens=14).json()["usage"]
        assert 30 < usage["total_tokens"] < 60
        assert post(url, "short", max_tokens=14).status_code == 429
        assert post(url, "poor", max_tokens=14).status_code == 200
        with openai.OpenAI(base_url=f"{url}/v1", api_key="poor", max_retries=0) as client:
            client.chat.completions.create(**GOOD)  # some are left, and it may use more
            with pytest.raises(openai.RateLimitError, match="60 tokens is used up"):
                client.chat.completions.create(**GOOD)
        assert post(url, "free").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_budgets_survive_a_restart(
    run_server: Any, new_engine: Any, key_file: Path, stream: bool
) -> None:
    spent = {}
    for run in range(3):
        budgets = Budgets(BudgetLedger(key_file.parent / "b"))
        with run_server(new_engine(), callers=Callers(file=key_file, budgets=budgets)) as running:
            spent[run] = budgets.used(read_keys(key_file)["few"])
            answer = post(running.url, "few", stream=stream)
            assert answer.status_code == (200 if run < 2 else 429)
            assert post(running.url, "free", stream=stream).status_code == 200
    assert (spent[0], spent[1].requests, spent[2].requests) == ((0, 0), 1, 2)
    assert spent[2].tokens == 2 * spent[1].tokens > 50


def test_what_is_not_used_is_given_back(run_server: Any, new_engine: Any, key_file: Path) -> None:
    keys = read_keys(key_file) | {"k": ApiKey(digest_of(b"k"), tokens_per_minute=100_000)}
    write_keys(key_file, keys)
    budgets = Budgets(BudgetLedger(key_file.parent / "b"))
    with run_server(new_engine(), callers=Callers(file=key_file, budgets=budgets)) as running:
        used = 0
        for fields in ({"max_tokens": 3000}, {"n": 2}, {"stream": True}, {"max_tokens": 1}):
            answer = post(running.url, "k", **fields)
            assert answer.status_code == 200
            if "stream" not in fields:
                used += answer.json()["usage"]["total_tokens"]
            else:
                used += post(running.url, "free").json()["usage"]["total_tokens"]
        assert post(running.url, "k", max_tokens=-1).status_code == 400
        running.engine.failure = RuntimeError("planted")
        assert post(running.url, "k").status_code == 500
        running.engine.failure = None
        used += post(running.url, "k").json()["usage"]["total_tokens"]
        assert budgets.used(keys["k"]).tokens == used
        left = int(post(running.url, "k").headers["x-ratelimit-remaining-tokens"])
        assert not budgets._reserved
    assert left == pytest.approx(100_000 - used, abs=1500)


def test_keys_come_and_go_while_the_server_runs(
    run_server: Any, new_engine: Any, key_file: Path, wait_until: Any, caplog: Any
) -> None:
    callers = Callers(["plain"], file=key_file, interval=0.02)
    with run_server(new_engine(), callers=callers) as running:
        assert post(running.url, "free").status_code == 200
        assert post(running.url, "plain").status_code == 200
        keys = read_keys(key_file)
        del keys["free"]
        write_keys(key_file, keys | {"new": ApiKey(digest_of(b"new"))})
        os.utime(key_file, ns=(1, 1))  # file systems with coarse times
        wait_until(lambda: post(running.url, "new").status_code == 200)
        assert post(running.url, "free").status_code == 401
        key_file.write_text("[broken")
        os.utime(key_file, ns=(2, 2))
        wait_until(lambda: "keys stay as they were" in caplog.text)
        assert post(running.url, "new").status_code == 200
        assert post(running.url, "plain").status_code == 200


def test_two_gateways_share_limits_and_budgets_in_redis(
    new_redis: Callable[[], Redis], key_file: Path
) -> None:
    def gateway(connection: RedisConnection) -> Callers:
        return Callers(
            file=key_file,
            budgets=Budgets(RedisBudgetLedger(connection)),
            new_limits=lambda limits: RedisRateLimits(limits, connection),
        )

    async def scenario() -> None:
        keys = read_keys(key_file)
        connections = [RedisConnection(new_redis(), timeout=30.0) for _ in range(2)]
        one, other = map(gateway, connections)
        async with one, other:
            await one.admit(keys["slow"])
            await other.admit(keys["slow"])
            with pytest.raises(ApiError, match="2 requests a minute"):
                await one.admit(keys["slow"])
            reserved = await one.reserve(keys["short"], 50)
            assert reserved == 50
            with pytest.raises(ApiError, match="60 tokens a minute"):
                await other.reserve(keys["short"], 50)
            await one.settle(keys["short"], reserved, 90)
            headers = dict(await other.admit(keys["short"]))
            assert headers[b"x-ratelimit-remaining-tokens"] == b"0"
            await one.admit(keys["few"])
            await one.admit(keys["few"])
            assert one._budgets is not None
            await one._budgets.flush()
            await other.admit(keys["few"])  # it learns of them when it next counts
            assert other._budgets is not None
            await other._budgets.flush()
            with pytest.raises(ApiError, match="2 requests"):
                await other.admit(keys["few"])
        for connection in connections:
            await connection.close()

    asyncio.run(scenario())


def test_a_key_is_found_by_its_digest_alone(key_file: Path) -> None:
    """What is compared is never a key: the time tells nothing of how much of one was right."""
    callers = Callers(["plain"], file=key_file)
    assert b"plain" not in repr(vars(callers)).encode().replace(b"_plain", b"")
    assert all(len(name) == 64 for name in callers._keys)
    for given in (b"plain", b"free"):
        headers = [(b"authorization", b"Bearer " + given)]
        found = callers.authenticate(headers)
        assert found is not None
        assert found.sha256 == digest_of(given)
    for given in (b"", b"plai", b"plainx", digest_of(b"plain").encode(), b"\xff"):
        with pytest.raises(ApiError) as caught:
            callers.authenticate([(b"authorization", b"Bearer " + given)])
        assert caught.value.status == 401
