"""The page of conversations."""

from groundup.app.element import tag
from groundup.app.page import Page
from groundup.app.visitor import Visitor

__all__ = ["PAGE"]


async def build(visitor: Visitor) -> None:
    """Nothing yet but its head."""
    with tag("div", "sheet"), tag("header"):
        tag("h1", "", "Chat")
        tag("p", "", "A conversation with a model on this machine.")


PAGE = Page("/chat", "Chat", "chat", 10, build)
