"""The messages of a conversation, however many."""

from typing import Any

from nicegui.element import Element

from groundup.app.answers import Progress
from groundup.app.icons import icon

__all__ = ["ConversationView"]

ICONS = ("arrow-down", "chevron-left", "chevron-right", "copy", "edit", "plank", "refresh",
         "thumb-down", "thumb-up")  # fmt: skip


class ConversationView(Element, component="conversation_view.js"):
    """A virtual list: rows are sent when they come into view.

    Events: ``need`` {generation, start, end}; ``edit`` {id, text}; ``regenerate`` {id}; ``branch``
    {id, step}; ``rate`` {id, value}.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generation = 0  # of the conversation that is shown
        self._props["icons"] = {name: icon(name) for name in ICONS}

    def show_path(self, keep: int, count: int, rows: list[dict[str, Any]]) -> None:
        """Show so many messages, of which the first ``keep`` are those from before."""
        self.run_method("setPath", self.generation, keep, count, rows)

    def show_rows(self, rows: list[dict[str, Any]]) -> None:
        """Show these in the place of what they were."""
        self.run_method("setRows", self.generation, rows)

    def show_progress(self, progress: Progress) -> None:
        """Show what an answer has become."""
        self.run_method(
            "progress",
            progress.message,
            progress.first,
            progress.blocks,
            progress.tokens,
            progress.seconds,
            progress.waiting,
        )
