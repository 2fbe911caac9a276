"""The conversations at the page's side."""

from collections.abc import Sequence
from typing import Any

from nicegui.element import Element

from groundup.app.icons import icon
from groundup.app.store.conversations import Conversation, Folder, Found

__all__ = ["ConversationList"]

ICONS = ("chevron-down", "chevron-right", "folder", "more", "plus", "search")


class ConversationList(Element, component="conversation_list.js"):
    """Events: ``open`` {id, back}; ``new``; ``search`` {query}; ``rename`` {id, title}; ``move``
    {id, folder}; ``export`` {id, format}; ``delete`` {id}; ``more``; ``new-folder`` {name};
    ``rename-folder`` {id, name}; ``delete-folder`` {id}.
    """

    def __init__(self) -> None:
        super().__init__()
        self._props["icons"] = {name: icon(name) for name in ICONS}

    def show(
        self,
        conversations: Sequence[Conversation],
        folders: Sequence[Folder],
        *,
        streaming: set[str],
        more: bool,
    ) -> None:
        """Show these, the newest first.

        Args:
            streaming: ids of those in which an answer is being written.
            more: there are older ones.
        """
        chats = [_entry(each) | {"streaming": each.id in streaming} for each in conversations]
        named = [{"id": folder.id, "name": folder.name} for folder in folders]
        self.run_method("setList", chats, named, more)

    def show_found(self, query: str, found: Sequence[Found]) -> None:
        """Show what a search has found."""
        entries = [
            _entry(each.conversation) | {"snippet": each.excerpt if each.message_id else ""}
            for each in found
        ]
        self.run_method("setFound", query, entries)

    def select(self, conversation: str) -> None:
        """Mark the one that is shown."""
        if self._props.get("selected") != conversation:
            self._props["selected"] = conversation
            self.update()

    def focus_search(self) -> None:
        self.run_method("focusSearch")


def _entry(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": conversation.title or "Untitled",
        "folder": conversation.folder_id,
        "updated": conversation.updated,
    }
