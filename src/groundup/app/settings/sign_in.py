"""One's own password and sessions, where one signs in."""

import asyncio
from typing import Any

from nicegui import ui

from groundup.app.account_changes import change_own_password
from groundup.app.element import tag
from groundup.app.settings.controls import day, field, form, row_button, said, table_head
from groundup.app.user_agent import browser_name
from groundup.app.visitor import Visitor

__all__ = ["draw_sign_in"]


async def draw_sign_in(visitor: Visitor) -> None:
    """Draw the section."""
    store, user, live = visitor.app.store, visitor.user, visitor.app.sessions
    assert live is not None
    client = ui.context.client
    this: str = client.request.scope["groundup_session"]

    async def change(given: dict[str, Any]) -> str:
        current, new = str(given["current"]), str(given["new"])
        await change_own_password(store, live, user, this, current, new, client.ip or "")
        await show()
        return "The password is changed, and your other sessions are ended"

    async def end(given: dict[str, Any]) -> str:
        await asyncio.to_thread(store.sessions.end, user.id, str(given["value"]))
        live.forget()
        await show()
        return "Ended"

    async def leave(_: dict[str, Any]) -> None:
        await asyncio.to_thread(store.sessions.end, user.id, this)
        live.forget()
        ui.navigate.to("/sign-in")

    async def show() -> None:
        sessions = await asyncio.to_thread(store.sessions.all, user.id)
        listed.clear()
        with listed, tag("table", "table"):
            table_head("Signed in on", "Since", "Until")
            with tag("tbody"):
                for session in sessions:
                    browser = browser_name(session.agent)
                    with tag("tr"):
                        tag("td", "", browser)
                        tag("td", "narrow-away", day(session.created))
                        tag("td", "", day(session.expires))
                        with tag("td", "number"):
                            if session.id == this:
                                tag("span", "chip accent", "This one")
                            else:
                                row_button("End", ending, session.id, browser)

    ending = said(end)
    with form("Change password", change, "Change password"):
        field("current", "Current password", type="password", autocomplete="current-password")
        field("new", "New password", type="password", autocomplete="new-password")
    listed = tag("div", "scroll-x")
    await show()
    with tag("div", "row"):
        tag("button", "button", "Sign out", type="button").on(
            "click", said(leave), js_handler="() => emit({})"
        )
