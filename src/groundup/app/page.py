"""What a page of the app is, and where pages are found."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from groundup.app import pages
from groundup.app.visitor import Visitor

__all__ = ["Page", "find_pages"]


@dataclass(frozen=True)
class Page:
    """One entry of the navigation. A file of ``app/pages`` that defines ``PAGE`` is a page."""

    path: str  # "/chat"; what follows it in an address is the visitor's ``rest``
    title: str
    icon: str  # a name of `icons`
    order: int  # in the navigation; the first page is also at "/"
    build: Callable[[Visitor], Awaitable[None]]  # fills <main>
    style: str | None = None  # its sheet in app/theme, "chat.css"


def find_pages() -> list[Page]:
    """All pages, in the navigation's order.

    Raises:
        ValueError: two pages have one path.
    """
    found: list[Page] = []
    for module in pkgutil.iter_modules(pages.__path__, f"{pages.__name__}."):
        page = getattr(importlib.import_module(module.name), "PAGE", None)
        if isinstance(page, Page):
            if page.path in {other.path for other in found}:
                raise ValueError(f"{module.name}: another page is at {page.path} already")
            found.append(page)
    return sorted(found, key=lambda page: page.order)
