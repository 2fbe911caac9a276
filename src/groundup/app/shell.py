"""The frame of every page: the navigation beside it, or below it on a phone."""

import hashlib
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from nicegui import ui

from groundup.app.application import App
from groundup.app.element import svg, tag
from groundup.app.page import Page, find_pages
from groundup.app.sign_in import COOKIE, LiveSessions, sign_in_address
from groundup.app.visitor import Visitor

__all__ = ["add_pages"]

LOOK = 3.0  # seconds between two looks whether a page's session still holds
THEME = Path(__file__).parent / "theme"


def add_pages(server: FastAPI, app: App) -> None:
    """Give the server all pages, and what they look like."""
    server.mount("/theme", StaticFiles(directory=THEME))
    pages = find_pages()
    ui.add_head_html(
        f'<link rel="stylesheet" href="{versioned("theme.css")}">'
        f'<script src="{versioned("theme.js")}"></script>',
        shared=True,
    )
    for page in pages:
        add_page(app, page, pages)

    @server.get("/", include_in_schema=False)
    def home() -> Response:
        return RedirectResponse(pages[0].path)


def add_page(app: App, page: Page, pages: list[Page]) -> None:
    """Serve one page, and the addresses below it."""

    async def show(request: Request, rest: str = "") -> None:
        await draw(Visitor(app, request.user, rest, dict(request.query_params)), page, pages)
        if app.sessions is not None:
            leave_with_session(app.sessions, request)

    for path in (page.path, page.path + "/{rest:path}"):
        ui.page(path, title=f"{page.title} · groundup", response_timeout=15)(show)


async def draw(visitor: Visitor, page: Page, pages: list[Page]) -> None:
    """The frame, and the page in its <main>."""
    client = ui.context.client
    for wrapper in (client.layout, client.page_container, *client.page_container):
        wrapper.tag = "div"  # Quasar's layout, of which a <main> would be around the navigation
    if page.style:
        ui.add_head_html(f'<link rel="stylesheet" href="{versioned(page.style)}">')
    tag("a", "skip", "Skip to the page", href="#page")
    with tag("div", "frame"):
        with tag("nav", "rail", aria_label="Pages"):
            with tag("a", "mark", href="/", aria_label="groundup"):
                svg("mark")
            for each in pages:
                with tag("a", "entry", href=each.path) as entry:
                    svg(each.icon)
                    tag("span", "", each.title)
                if each is page:
                    entry.props["aria-current"] = "page"
            for choice, looks in (("dark", "moon"), ("light", "sun")):
                other = "light" if choice == "dark" else "dark"
                with tag("button", f"entry push theme-{other}", type="button") as button:
                    svg(looks)
                    tag("span", "", choice.capitalize())
                button.props["data-theme-choice"] = choice
                button.props["aria-label"] = f"{choice.capitalize()} theme"
        with tag("main", "page", id="page", tabindex="-1"):
            await page.build(visitor)
    tag("div", "toasts", role="status", aria_live="polite")


def leave_with_session(sessions: LiveSessions, request: Request) -> None:
    """Show the sign-in when the session of a page ends: from then on the page is dead."""
    token = request.cookies.get(COOKIE, "")

    async def look() -> None:
        if await sessions.find(token) is None:
            ui.navigate.to(sign_in_address(request.scope))

    ui.timer(LOOK, look)


def versioned(name: str) -> str:
    """The address of a file of the theme, which changes with it: browsers keep the old one."""
    digest = hashlib.sha256((THEME / name).read_bytes()).hexdigest()[:12]
    return f"/theme/{name}?{digest}"
