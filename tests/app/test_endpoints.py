"""Endpoints elsewhere, the file with their keys, and limits."""

import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from groundup.app import endpoints as module
from groundup.app.endpoints import Endpoints, Remote, offered_models
from groundup.app.model_server import Endpoint
from groundup.app.preferences import Limits, preferred_model, put_limits, read_limits
from groundup.app.store.store import Store
from groundup.errors import GroundupError

KEY = "sk-0123456789abcdef-SECRET-wxyz"


def test_endpoints_are_kept_for_the_user_alone(tmp_path: Path) -> None:
    kept = Endpoints(tmp_path / "app")
    assert kept.all() == []
    b = Remote("b", "https://b.example/v1", KEY, ("gpt-x", "org/model"))
    kept.put(
        Remote("b", " https://b.example/v1/ ", f" {KEY}\n", ("gpt-x", " org/model", "gpt-x", ""))
    )
    a = Remote("a.local", "http://127.0.0.1:1234/v1")
    kept.put(a)
    assert Endpoints(tmp_path / "app").all() == [a, b]
    file = tmp_path / "app" / "endpoints.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["endpoints.json"]
    assert kept.models() == ["b/gpt-x", "b/org/model"]
    assert kept.find("b/org/model") == Endpoint("https://b.example/v1", "org/model", KEY)
    for other in ("b/other", "b", "b/", "org/model", "a.local/", ""):
        assert kept.find(other) is None
    kept.put(Remote("b", "https://c.example/v1"))
    assert [r.base_url for r in kept.all()] == [a.base_url, "https://c.example/v1"]
    kept.remove("b")
    kept.remove("b")
    assert kept.all() == [a]


def test_a_key_is_not_shown() -> None:
    remote = Remote("b", "https://b.example/v1", KEY)
    assert KEY not in repr(remote)
    assert "SECRET" not in f"{remote} {remote.masked_key}"
    assert remote.masked_key == "…wxyz"
    assert Remote("b", "u", "short").masked_key == "…"  # four would be most of it
    assert Remote("b", "u").masked_key == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com/v1", "ftp://example.com", "file:///etc/passwd", "https://", "https://:80",
        "https://user:pw@example.com/v1", "https://example.com/v1?key=x", "https://a b.example/v1",
        "https://example.com/v1#x", "javascript:alert(1)", "https://example.com:99999/v1",
        "https://exämple.com/v1", "https://example.com/\r\nX: y", "https://[::1/v1",
    ],
)  # fmt: skip
def test_what_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(GroundupError, match="an endpoint's URL is like https://host/v1"):
        Endpoints(tmp_path).put(Remote("a", url))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "é", "a" * 65, "-a"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(GroundupError, match="an endpoint's name is 1 to 64 letters"):
        Endpoints(tmp_path).put(Remote(name, "https://a.example/v1"))


@pytest.mark.parametrize("key", ["two words", "kéy", "a\nb", "a\x7f"])
def test_what_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(GroundupError, match="a key is made of ASCII") as error:
        Endpoints(tmp_path).put(Remote("a", "https://a.example/v1", key))
    assert key not in str(error.value)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"name": 1}]', "\0", '[{"name": "a"}]'])
def test_a_damaged_file_is_told_and_left(tmp_path: Path, content: str) -> None:
    file = tmp_path / "endpoints.json"
    file.write_text(content)
    kept = Endpoints(tmp_path)
    for call in (kept.all, kept.models, lambda: kept.put(Remote("a", "https://a.example/v1"))):
        with pytest.raises(
            GroundupError, match=r"endpoints\.json cannot be read .*: mend the file"
        ):
            call()
    assert file.read_text() == content


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("a file")
    with pytest.raises(GroundupError, match=r"endpoints\.json"):
        Endpoints(tmp_path / "app").put(Remote("a", "https://a.example/v1"))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Serves a handler at /v1/models; gives the URL of an endpoint."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/v1/models", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/v1"))

    yield start
    for server in servers:
        await server.close()


async def test_an_endpoint_tells_its_models(
    serve: Callable[[Handler], Awaitable[str]],
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": "key"}, status=401)
        return web.json_response({"data": [{"id": "a"}, {"id": "org/b", "more": 1}]})

    url = await serve(handler)
    assert await offered_models(Remote("x", url + "/", KEY)) == ["a", "org/b"]
    for key in ("", "wrong"):
        with pytest.raises(GroundupError, match=r"refuses the key \(401\): check it"):
            await offered_models(Remote("x", url, key))
    with pytest.raises(GroundupError, match="often ends in /v1"):
        await offered_models(Remote("x", url.removesuffix("/v1"), KEY))


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"data": 1}', '{"data": [1]}', '{"data": [{}]}', "<html>", "\0"]
)
async def test_an_answer_that_is_no_list(
    serve: Callable[[Handler], Awaitable[str]], body: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=body)

    with pytest.raises(GroundupError, match="is no list of models"):
        await offered_models(Remote("x", await serve(handler)))


async def test_a_redirect_gets_no_key(serve: Callable[[Handler], Awaitable[str]]) -> None:
    asked: list[str | None] = []

    async def thief(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization"))
        return web.json_response({"data": []})

    elsewhere = await serve(thief)

    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{elsewhere}/models")

    with pytest.raises(GroundupError, match="status 302"):
        await offered_models(Remote("x", await serve(handler), KEY))
    assert not asked


async def test_endpoints_that_do_not_answer(
    serve: Callable[[Handler], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(module, "LARGEST_LIST", 1 << 16)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * (1 << 14))

    with pytest.raises(GroundupError, match="no answer in time"):
        await offered_models(Remote("x", await serve(slow)))
    with pytest.raises(GroundupError, match="is no list of models"):
        await offered_models(Remote("x", await serve(endless)))
    with pytest.raises(GroundupError, match="does not answer"):
        await offered_models(Remote("x", "http://127.0.0.1:1/v1"))


def test_limits(store: Store) -> None:
    assert read_limits(store) == Limits()
    assert put_limits(store, {"answer_tokens": 100}) == read_limits(store)
    assert read_limits(store) == Limits(answer_tokens=100)
    for bad in (
        {"answer_tokens": 0}, {"answer_tokens": 1.5}, {"answer_tokens": "many"}, {"other": 1},
        {"running_answers": 1001}, {"message_characters": None}, {"answer_tokens": True},
    ):  # fmt: skip
        with pytest.raises(GroundupError, match="these are no limits"):
            put_limits(store, bad)
    assert read_limits(store) == Limits(answer_tokens=100)


def test_the_preferred_model_is_a_name(store: Store, ada: str) -> None:
    assert preferred_model(store, ada) is None
    for value in (1, None, ["x"], "", {"a": 1}):  # as an import may bring it
        store.settings.put(ada, "model", value)
        assert preferred_model(store, ada) is None
    store.settings.put(ada, "model", "b/gpt-x")
    assert preferred_model(store, ada) == "b/gpt-x"
