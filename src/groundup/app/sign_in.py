"""Who a request is from: without sign-in the user ``local``; with it, whoever the cookie says.

Both are middleware around all pages and their sockets, inside the shield, and put the user into the
scope: a page asks ``request.user``, and has one.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import escape
from math import ceil
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from groundup.app.attempts import Attempts
from groundup.app.icons import icon
from groundup.app.passwords import user_with_password
from groundup.app.store.accounts import User
from groundup.app.store.sessions import LIFETIME, Session
from groundup.app.store.store import Store
from groundup.errors import GroundupError

__all__ = [
    "COOKIE",
    "LiveSessions",
    "LocalUser",
    "SignIn",
    "TooManyAttemptsError",
    "sign_in_address",
]

COOKIE = "groundup_session"
FORM_COOKIE = "groundup_form"
PUBLIC = ("/theme/", "/favicon.ico")  # what the page of the sign-in itself needs
LARGEST_FORM = 16 << 10  # bytes
TRUSTED = 5.0  # seconds until a session that was found is looked up again
FAREWELL = 10.0  # seconds that a page has to show the sign-in when its session is over
HASHING = 2  # passwords checked at a time: each takes 64 MiB
WAITING = 20  # passwords that may wait for that, from whatever addresses
BUSY = 5.0  # seconds after which one may try again when more come


class LocalUser:
    """For an app that only its own machine reaches: everybody is the user ``local``."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._user = store.accounts.local()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["user"] = self._user
        await self._app(scope, receive, send)


class TooManyAttemptsError(GroundupError):
    """No password is looked at for a while."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"Too many attempts: try again in {ceil(wait)} seconds.")
        self.wait = ceil(wait)


class LiveSessions:
    """Who may sign in, and who is: sessions as the store has them, remembered for a few seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(HASHING)
        self._waiting = 0  # passwords that are looked at, or will be
        self._known: dict[str, tuple[Session, float]] = {}  # by token, and when it was looked up

    async def find(self, token: str) -> Session | None:
        """The session of a token; None if there is none, or it is over."""
        now = time.monotonic()
        session, looked_up = self._known.get(token, (None, 0.0))
        if session is None or now - looked_up > TRUSTED:
            self._known.pop(token, None)
            session = await asyncio.to_thread(self._store.sessions.find, token)
            if session is None:
                return None
            self._known[token] = session, now
        if session.expires <= time.time():
            self.forget()
            return None
        return session

    async def user(self, name: str, password: str, address: str) -> User | None:
        """Whose name and password these are, if they belong together.

        Args:
            name: of an account.
            password: maybe its password.
            address: where they come from.

        Raises:
            TooManyAttemptsError: there were too many wrong ones.
        """
        if self._waiting >= WAITING:
            raise TooManyAttemptsError(BUSY)
        wait = self._attempts.take(name, address)
        if wait:
            raise TooManyAttemptsError(wait)
        self._waiting += 1
        try:
            async with self._hashing:
                user = await asyncio.to_thread(user_with_password, self._store, name, password)
        finally:
            self._waiting -= 1
        if user is not None:
            self._attempts.give_back(name, address)
        return user

    def forget(self) -> None:
        """Look all of them up again: some were ended."""
        self._known.clear()


class SignIn:
    """Middleware that lets in who is signed in, and shows all others the page for that."""

    def __init__(self, app: ASGIApp, store: Store, sessions: LiveSessions) -> None:
        self._app = app
        self._store = store
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if scope["type"] == "http" and path.startswith(PUBLIC):
            await self._app(scope, receive, send)
            return
        token = HTTPConnection(scope).cookies.get(COOKIE, "")
        try:
            session = await self._sessions.find(token) if token else None
            if scope["type"] == "http" and path == "/sign-in":
                answer = await self._sign_in(Request(scope, receive), session)
                await answer(scope, receive, send)
                return
        except GroundupError as error:  # the database
            if scope["type"] == "websocket":
                await WebSocketClose(1013, "the database cannot be used")(scope, receive, send)
            else:
                await PlainTextResponse(f"groundup: {error}", 503)(scope, receive, send)
            return
        if session is not None:
            scope["user"], scope["groundup_session"] = session.user, session.id
            if scope["type"] == "websocket":
                receive = self._while_signed_in(token, receive, send)
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(4401, "sign in first")(scope, receive, send)
        elif scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
            await RedirectResponse(sign_in_address(scope), 303)(scope, receive, send)
        else:
            await PlainTextResponse("sign in first", 401)(scope, receive, send)

    def _while_signed_in(
        self, token: str, receive: Receive, send: Send
    ) -> Callable[[], Awaitable[Message]]:
        """What a socket says, until its session ends. Then nothing that it says is heard, and it is
        closed after a moment in which the page shows the sign-in.

        Every socket says something at least each half minute, as it answers pings.
        """

        async def signed_in() -> bool:
            try:
                return await self._sessions.find(token) is not None
            except GroundupError:  # the database
                return False

        async def receive_checked() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive" or await signed_in():
                return message
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    while message["type"] == "websocket.receive":
                        message = await receive()
                    return message
            await send({"type": "websocket.close", "code": 4401, "reason": "sign in again"})
            return {"type": "websocket.disconnect", "code": 4401}

        return receive_checked

    async def _sign_in(self, request: Request, session: Session | None) -> Response:
        onward = local_path(request.query_params.get("next", "/"))
        if request.method in ("GET", "HEAD"):
            if session is not None:
                return RedirectResponse(onward, 303)
            return sign_in_page(request)
        if request.method != "POST":
            return PlainTextResponse("sign in by GET and POST", 405)
        fields = await form_fields(request)
        known = request.cookies.get(FORM_COOKIE, "")
        if not known or not hmac.compare_digest(
            known.encode(errors="replace"), fields.get("form", "").encode(errors="replace")
        ):
            return sign_in_page(
                request, "This page had been open for too long. Please try again.", 403
            )
        name, password = fields.get("name", ""), fields.get("password", "")
        address = request.client.host if request.client else ""
        try:
            user = await self._sessions.user(name, password, address)
        except TooManyAttemptsError as error:
            answer = sign_in_page(request, str(error), 429, name)
            answer.headers["retry-after"] = str(error.wait)
            return answer
        if user is None:
            # A page as any other for browsers: they would complain of a 403 in their console.
            return sign_in_page(request, "The name or the password is wrong.", 200, name)
        agent = request.headers.get("user-agent", "")
        token = await asyncio.to_thread(self._store.sessions.start, user.id, agent)
        if session is not None:
            await asyncio.to_thread(self._store.sessions.end, session.user.id, session.id)
            self._sessions.forget()
        answer = RedirectResponse(onward, 303)
        set_cookie(request, answer, COOKIE, token, int(LIFETIME))
        return answer


def sign_in_address(scope: Scope) -> str:
    """Where to sign in, and to come back from."""
    query = scope["query_string"].decode("latin-1")
    address = scope["path"] + (f"?{query}" if query else "")
    return "/sign-in" if address == "/" else f"/sign-in?next={quote(address, safe='/')}"


def local_path(address: str) -> str:
    """An address of this app; "/" for any other, so that a link to sign in leads nowhere else."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\", "/sign-in"))
    return address if inside and address.isprintable() and "\\" not in address else "/"


def set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that no script reads, and no other site's form sends."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form; none if it is too large, or is none."""
    content = b""
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > LARGEST_FORM:
                return {}
    except ClientDisconnect:
        return {}
    fields = parse_qs(content.decode(errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def sign_in_page(request: Request, error: str = "", status: int = 200, name: str = "") -> Response:
    """The form, with what went wrong."""
    form = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    message = f'<p class="banner bad" role="alert" id="error">{escape(error)}</p>'
    described = ' aria-describedby="error"' if error else ""
    answer = HTMLResponse(
        PAGE.format(
            mark=icon("mark"),
            error=message if error else "",
            described=described,
            name=escape(name, quote=True),
            focus_name="" if name else " autofocus",
            focus_password=" autofocus" if name else "",
            form=escape(form, quote=True),
            action=escape(f"/sign-in?{request.url.query}" if request.url.query else "/sign-in"),
        ),
        status,
        {"cache-control": "no-store"},
    )
    set_cookie(request, answer, FORM_COOKIE, form, 86400)
    return answer


PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · groundup</title>
<link rel="stylesheet" href="/theme/theme.css">
<link rel="stylesheet" href="/theme/sign_in.css">
<script src="/theme/theme.js"></script>
</head>
<body class="sign-in">
<main>
<form class="card stack" method="post" action="{action}">
<header>
<span class="mark">{mark}</span>
<h1>Sign in to groundup</h1>
<p class="muted">Your conversations, your own parts</p>
</header>
{error}
<div class="field">
<label for="name">Name</label>
<input id="name" name="name" value="{name}" autocomplete="username" autocapitalize="none"
 spellcheck="false" maxlength="64" required{focus_name}{described}>
</div>
<div class="field">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="1000" required{focus_password}{described}>
</div>
<input type="hidden" name="form" value="{form}">
<button class="button primary" type="submit">Sign in</button>
</form>
</main>
</body>
</html>
"""
