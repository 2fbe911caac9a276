"""Who looks at a page."""

from dataclasses import dataclass, field

from groundup.app.application import App
from groundup.app.store.accounts import User

__all__ = ["Visitor"]


@dataclass(frozen=True)
class Visitor:
    """A browser's visit to a page."""

    app: App
    user: User
    rest: str = (
        ""  # what follows the page's path in the address: a conversation's id, a part's name
    )
    query: dict[str, str] = field(default_factory=dict)
