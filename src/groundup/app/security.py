"""What stands between the app and other web sites that the user's browser visits.

Host: a name of another site that resolves to this machine gets nothing (DNS rebinding).
Origin: requests and sockets that another site's page begins are refused (cross-site forgery).
Content-Security-Policy: the browser runs no script but those of our own files and of the page as we
wrote it, which carry a number that is new each time, and asks no other host for anything. (Vue
compiles its templates, so ``unsafe-eval`` has to stay.)
"""

import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

__all__ = ["Shield"]


class Shield:
    """Middleware around the whole app; pages reach it uncompressed."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = None) -> None:
        """Arguments:
        app: what is protected.
        hosts: the names that the app answers to; None: any, as behind a proxy.
        """
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None and scope["type"] == "websocket":
            await WebSocketClose(4403, refusal[1])(scope, receive, send)
        elif refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Guarded(send).send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Status and reason, for what is not answered."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return 400, "the Host header cannot be read"
        if self._hosts is not None and name not in self._hosts:
            return 421, f"groundup does not answer for {name!r}: open it by 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "a page of another site began this request"
        return None


class _Guarded:
    """One response, on its way out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of a page, held back until its length is known
        self._page = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["x-content-type-options"] = "nosniff"
            # With "no-referrer" a browser would not tell the origin of our own forms either.
            headers["referrer-policy"] = "same-origin"
            headers["cross-origin-opener-policy"] = "same-origin"
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
            else:
                headers["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'"
                await self._send(message)
        elif message["type"] == "http.response.body" and self._start is not None:
            self._page += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start)
        else:
            await self._send(message)

    async def _send_page(self, start: Message) -> None:
        # NiceGUI escapes each "<" of what pages show: scripts are its template's and ours.
        nonce = secrets.token_urlsafe(16)
        body = bytes(self._page).replace(b"<script", f'<script nonce="{nonce}"'.encode())
        headers = MutableHeaders(raw=start["headers"])
        headers["content-length"] = str(len(body))
        headers["content-security-policy"] = (
            f"default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
            "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
            "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'"
        )
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
