"""The sign-in, as HTTP sees it: forms, cookies, limits, sockets, what is public."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from groundup.app import passwords, sign_in
from groundup.app.attempts import Attempts
from groundup.app.passwords import checked_password
from groundup.app.sign_in import (
    COOKIE,
    LiveSessions,
    LocalUser,
    SignIn,
    TooManyAttemptsError,
    local_path,
)
from groundup.app.store.store import Store
from groundup.errors import GroundupError

URL = "https://groundup.test"
PASSWORD = "correct horse battery"


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that says whom it sees, and echoes on its socket."""
    name = HTTPConnection(scope).user.name if "user" in scope else "nobody"
    if scope["type"] == "http":
        await PlainTextResponse(f"{name} at {scope['path']}")(scope, receive, send)
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{name}: {message['text']}"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    # As in the app, but each password takes a millisecond.
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)
    made = Store(f"sqlite:///{tmp_path / 'app.db'}")
    made.accounts.add("ada", cheap.hash(PASSWORD), "admin")
    made.accounts.add("bob", cheap.hash(PASSWORD), "member")
    return made


@pytest.fixture
def sessions(store: Store) -> LiveSessions:
    return LiveSessions(store)


@pytest.fixture
def app(store: Store, sessions: LiveSessions) -> SignIn:
    return SignIn(whoami, store, sessions)


@pytest.fixture
async def browser(app: SignIn) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app) as made:
        yield made


def client(app: SignIn, address: str = "192.0.2.7", url: str = URL) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url=url, headers={"accept": "text/html"})


async def submit(
    browser: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD, next_: str = ""
) -> httpx.Response:
    """Open the form, fill it in, and send it."""
    page = await browser.get("/sign-in", params={"next": next_} if next_ else {})
    action, form = re.findall(r'action="(.*?)"|name="form" value="(.*?)"', page.text)
    data = {"name": name, "password": password, "form": form[1]}
    return await browser.post(action[0].replace("&amp;", "&"), data=data)


async def test_the_way_in_and_back(browser: httpx.AsyncClient, store: Store) -> None:
    refused = await browser.get("/chat/abc?q=a%20b")
    assert refused.status_code == 303
    where = refused.headers["location"]
    assert where == "/sign-in?next=/chat/abc%3Fq%3Da%2520b"
    answer = await submit(browser, next_="/chat/abc?q=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/abc?q=a%20b")
    given = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE))
    for part in ("HttpOnly", "SameSite=lax", "Secure", "Path=/", "Max-Age=1209600"):
        assert part in given.split("; ")
    assert (await browser.get("/chat")).text == "ada at /chat"
    again = await browser.get("/sign-in?next=/labs")  # is signed in
    assert (again.status_code, again.headers["location"]) == (303, "/labs")
    session = await LiveSessions(store).find(browser.cookies[COOKIE])
    assert session is not None
    assert session.agent.startswith("python-httpx")


async def test_over_http_the_cookie_is_not_secure(app: SignIn) -> None:
    async with client(app, url="http://192.0.2.1") as browser:
        answer = await submit(browser)
        assert "Secure" not in str(answer.headers.get_list("set-cookie"))
        assert (await browser.get("/chat")).text == "ada at /chat"


async def test_only_the_theme_is_public(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/theme/theme.css")).text == "nobody at /theme/theme.css"
    for path in ("/", "/chat", "/theme", "/themes/x", "/_nicegui/x.js", "/sign-in/x", "//theme/x"):
        answer = await browser.get(path)
        assert answer.status_code == 303, path
    for method in ("POST", "PUT", "HEAD", "DELETE"):
        assert (await browser.request(method, "/chat")).status_code == 401
    assert (await browser.get("/chat", headers={"accept": "*/*"})).status_code == 401
    assert (await browser.put("/sign-in")).status_code == 405


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("nobody", PASSWORD), ("ada", ""), ("", ""), ("local", ""), ("ada\0", "\0")],
)
async def test_wrong_names_and_passwords_look_alike(
    browser: httpx.AsyncClient, name: str, password: str
) -> None:
    answer = await submit(browser, name, password)
    assert answer.status_code == 200
    assert "The name or the password is wrong." in answer.text
    assert COOKIE not in answer.cookies
    assert "no-store" in answer.headers["cache-control"]


async def test_an_unknown_name_costs_as_much(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    original = passwords._verify

    def verify(hashed: str, password: str) -> bool:
        verified.append(hashed)
        return original(hashed, password)

    monkeypatch.setattr(passwords, "_verify", verify)
    await submit(browser, "nobody", "wrong")
    await submit(browser, "ada", "wrong")
    assert len(verified) == 2
    # With the real parameters, as real accounts have.
    monkeypatch.undo()
    assert not passwords._HASHER.check_needs_rehash(verified[0])
    assert verified[0] == passwords._NOBODYS


async def test_what_is_typed_is_text(browser: httpx.AsyncClient) -> None:
    name = '"><script>alert(1)</script>'
    answer = await submit(browser, name, "x")
    assert "<script>alert" not in answer.text
    assert "&quot;&gt;&lt;script&gt;" in answer.text
    planted = await browser.get("/sign-in", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>alert" not in planted.text
    browser.cookies.set("groundup_form", '"><script>alert(1)</script>')
    assert "<script>alert" not in (await browser.get("/sign-in")).text


async def test_a_form_of_another_site_is_refused(browser: httpx.AsyncClient) -> None:
    right = {"name": "ada", "password": PASSWORD}
    for form in ({}, {"form": ""}, {"form": "guess"}, {"form": "é"}):
        answer = await browser.post("/sign-in", data={**right, **form})
        assert answer.status_code == 403
        assert "open for too long" in answer.text
        assert COOKIE not in browser.cookies  # but for the first, that of the form is there


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"name=%ff", b"a" * 100_000, b"form&&&=="])
async def test_a_form_that_is_none(browser: httpx.AsyncClient, content: bytes) -> None:
    await browser.get("/sign-in")
    assert (await browser.post("/sign-in", content=content)).status_code == 403


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("/chat/abc", "/chat/abc"),
        ("/chat?x=//y", "/chat?x=//y"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/x\\..\\evil", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        ("/sign-in?next=/sign-in", "/"),
    ],
)
def test_the_way_back_leads_nowhere_else(address: str, kept: str) -> None:
    assert local_path(address) == kept


async def test_guessing_is_slow(app: SignIn, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(app) as guesser, client(app, "198.51.100.1") as owner:
        for i in range(5):
            assert (await submit(guesser, "ada", f"guess {i}")).status_code == 200
        refused = await submit(guesser, "ada", PASSWORD)  # even the right one
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 30
        assert "Too many attempts" in refused.text
        assert (await submit(guesser, "ADA ", PASSWORD)).status_code == 429
        assert (await submit(owner, "ada", PASSWORD)).status_code == 303  # from elsewhere
        codes = [(await submit(guesser, f"name{i}", "x")).status_code for i in range(20)]
        assert codes == [200] * 15 + [429] * 5


def test_attempts_come_back_with_time() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for _ in range(30):
        assert attempts.take("ada", "192.0.2.1") == 0
        attempts.give_back("ada", "192.0.2.1")  # the right password, each time
    for _ in range(5):
        assert attempts.take("ada", "192.0.2.1") == 0
    wait = attempts.take("ada", "192.0.2.1")
    assert 0 < wait <= 30
    now += wait
    assert attempts.take("ada", "192.0.2.1") == 0
    assert attempts.take("ada", "192.0.2.1") > 0


def test_one_network_counts_as_one_and_one_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(lambda: 0.0)
    for i in range(5):
        assert attempts.take("ada", f"2001:db8::{i}") == 0
    assert attempts.take("ada", "2001:db8::ffff") > 0
    assert attempts.take("ada", "2001:db8:0:1::1") == 0
    assert attempts.take("ada", "no address") == 0
    taken = sum(attempts.take("eve", f"192.0.{i}.1") == 0 for i in range(100))
    assert taken == 50
    monkeypatch.setattr("groundup.app.attempts.KNOWN", 10)
    for i in range(100):
        attempts.take(f"name{i}", f"192.1.{i}.1")
    assert len(attempts._buckets) <= 10


async def test_a_flood_from_everywhere_is_turned_away(
    app: SignIn, sessions: LiveSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each password takes 64 MiB: few are looked at, and some wait."""
    hold = asyncio.Event()
    looked_at = 0

    async def to_thread(function: Any, *arguments: Any) -> None:
        nonlocal looked_at
        looked_at += 1
        await hold.wait()

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    tries = [asyncio.create_task(sessions.user(f"name{i}", "x", f"192.0.{i}.1")) for i in range(30)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused = [t for t in tries if t.done() and isinstance(t.exception(), TooManyAttemptsError)]
    assert (looked_at, len(refused)) == (2, 10)
    hold.set()
    await asyncio.gather(*tries, return_exceptions=True)
    assert looked_at == 20
    assert await sessions.user("one", "x", "192.0.2.1") is None


async def test_an_ended_session_is_over_at_once(
    browser: httpx.AsyncClient, store: Store, sessions: LiveSessions
) -> None:
    await submit(browser)
    session = await sessions.find(browser.cookies[COOKIE])
    assert session is not None
    store.sessions.end(session.user.id, session.id)
    sessions.forget()
    assert (await browser.get("/chat")).status_code == 303


async def test_what_another_process_ended_is_over_soon(
    browser: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(browser)
    assert (await browser.get("/chat")).status_code == 200
    store.accounts.remove("bob")
    store.sessions.end_all(store.accounts.all()[0].id)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + sign_in.TRUSTED + 0.1)
    assert (await browser.get("/chat")).status_code == 303


async def test_an_expired_session_is_over(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(browser)
    assert (await browser.get("/chat")).status_code == 200
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 14 * 86400 + 1)
    assert (await browser.get("/chat")).status_code == 303


async def test_signing_in_anew_ends_the_browsers_old_session(
    browser: httpx.AsyncClient, store: Store
) -> None:
    await submit(browser)
    old = browser.cookies[COOKIE]
    page = await browser.get("/sign-in")
    assert page.status_code == 303
    form = {"name": "bob", "password": PASSWORD, "form": browser.cookies["groundup_form"]}
    assert (await browser.post("/sign-in", data=form)).status_code == 303
    assert (await browser.get("/x")).text == "bob at /x"
    assert store.sessions.find(old) is None


class Socket:
    """The browser's side of a socket of an ASGI app."""

    def __init__(self, app: Any, cookie: str) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": "/_nicegui_ws/socket.io",
            "headers": [(b"cookie", cookie.encode())] if cookie else [],
            "query_string": b"",
        }
        self.sent.put_nowait({"type": "websocket.connect"})
        self.task: asyncio.Future[None] = asyncio.ensure_future(
            app(scope, self.sent.get, self.heard.put)
        )

    async def hear(self) -> Message:
        return await asyncio.wait_for(self.heard.get(), 10)

    async def say(self, text: str) -> Message:
        await self.sent.put({"type": "websocket.receive", "text": text})
        return await self.hear()


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=guess", f"{COOKIE}=\xff", "=;=", "x" * 5000])
async def test_a_socket_needs_a_session(app: SignIn, cookie: str) -> None:
    socket = Socket(app, cookie)
    await socket.task
    assert (await socket.hear())["type"] == "websocket.close"
    assert socket.heard.empty()


async def test_a_socket_ends_with_its_session(
    app: SignIn,
    store: Store,
    sessions: LiveSessions,
    browser: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_in, "FAREWELL", 0.1)
    await submit(browser)
    socket = Socket(app, f"{COOKIE}={browser.cookies[COOKIE]}")
    assert (await socket.hear())["type"] == "websocket.accept"
    assert (await socket.say("hello"))["text"] == "ada: hello"
    store.sessions.end_all(store.accounts.all()[0].id)
    sessions.forget()
    closed = await socket.say("hello?")
    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)
    await asyncio.wait_for(socket.task, 10)
    assert socket.heard.empty()


async def test_a_database_that_fails_lets_nobody_in(
    app: SignIn, sessions: LiveSessions, browser: httpx.AsyncClient, monkeypatch: Any
) -> None:
    await submit(browser)

    def fail(token: str) -> None:
        raise GroundupError("the database is locked")

    monkeypatch.setattr(sessions._store.sessions, "find", fail)
    sessions.forget()
    answer = await browser.get("/chat")
    assert (answer.status_code, answer.text) == (503, "groundup: the database is locked")
    socket = Socket(app, f"{COOKIE}={browser.cookies[COOKIE]}")
    assert (await socket.hear())["type"] == "websocket.close"


async def test_without_sign_in_everybody_is_local(store: Store) -> None:
    transport = httpx.ASGITransport(LocalUser(whoami, store))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
        assert (await browser.get("/chat")).text == "local at /chat"
    socket = Socket(LocalUser(whoami, store), "")
    assert (await socket.hear())["type"] == "websocket.accept"
    assert (await socket.say("hi"))["text"] == "local: hi"
    socket.sent.put_nowait({"type": "websocket.disconnect"})
    await socket.task


@pytest.mark.parametrize(
    ("password", "reason"),
    [("short", "10 to 1000 characters, got 5"), ("x" * 1001, "got 1001"), ("ADALOVELACE", "name")],
)
def test_a_password_that_is_none(password: str, reason: str) -> None:
    with pytest.raises(GroundupError, match=reason):
        checked_password(password, "AdaLovelace")
    assert checked_password("ten chars!", "ada") == "ten chars!"
