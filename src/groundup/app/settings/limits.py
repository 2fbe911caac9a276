"""Limits for all users, set by admins."""

import asyncio
from typing import Any

from groundup.app.account_changes import require_admin
from groundup.app.element import tag
from groundup.app.preferences import put_limits, read_limits
from groundup.app.settings.controls import field, form
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["draw_limits"]

LIMITS = (
    ("answer_tokens", "Longest answer", "tokens"),
    ("message_characters", "Longest message", "characters"),
    ("running_answers", "Answers at a time", "of one user"),
)


async def draw_limits(visitor: Visitor) -> None:
    """Draw the section."""
    store = visitor.app.store
    limits = await asyncio.to_thread(read_limits, store)

    async def save(given: dict[str, Any]) -> str:
        await asyncio.to_thread(require_admin, store, visitor.user.id)
        try:
            values = {name: int(given[name]) for name, _, _ in LIMITS}
        except ValueError:
            raise GroundupError("a limit is a whole number") from None
        await asyncio.to_thread(put_limits, store, values)
        return "Saved"

    with form("Limits", save, "Save limits"), tag("div", "settings-limits"):
        for name, label, unit in LIMITS:
            field(name, label, unit, type="number", value=getattr(limits, name), min=1)
