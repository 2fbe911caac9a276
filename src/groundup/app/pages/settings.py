"""The page of settings: sections, each in a file of ``app/settings``."""

from collections.abc import Awaitable, Callable

from groundup.app.element import tag
from groundup.app.page import Page
from groundup.app.settings.accounts import draw_accounts
from groundup.app.settings.appearance import draw_appearance
from groundup.app.settings.data import draw_data
from groundup.app.settings.endpoints import draw_endpoints
from groundup.app.settings.limits import draw_limits
from groundup.app.settings.model import draw_model
from groundup.app.settings.sign_in import draw_sign_in
from groundup.app.visitor import Visitor

__all__ = ["PAGE"]

Section = tuple[str, str, Callable[[Visitor], Awaitable[None]]]


def sections_for(visitor: Visitor) -> list[Section]:
    """Title, a line about it, and what draws it: all that the visitor may change."""
    sections: list[Section] = [
        ("Model", "What new conversations begin with.", draw_model),
        ("Appearance", "Of this browser.", draw_appearance),
        ("Your data", "Conversations, folders, ratings, settings.", draw_data),
    ]
    if visitor.app.sessions is not None:
        sections.append(("Sign-in", f"You are {visitor.user.name}.", draw_sign_in))
    if visitor.user.is_admin:
        about = "Servers that speak OpenAI's API. Their models can be chosen in a chat."
        sections.append(("Endpoints", about, draw_endpoints))
        sections.append(("Limits", "For every user.", draw_limits))
        about = "For those who sign in, when other machines may reach the app."
        sections.append(("Accounts", about, draw_accounts))
    return sections


async def build(visitor: Visitor) -> None:
    """Show all of them."""
    with tag("div", "sheet settings"):
        with tag("header"):
            tag("h1", "", "Settings")
        for title, about, draw in sections_for(visitor):
            id = f"{title.lower().replace(' ', '-')}-title"
            with tag("section", "settings-section", aria_labelledby=id):
                with tag("div", "settings-about"):
                    tag("h2", "", title, id=id)
                    tag("p", "muted", about)
                with tag("div", "settings-controls stack"):
                    await draw(visitor)


PAGE = Page("/settings", "Settings", "settings", 90, build, style="settings.css")
