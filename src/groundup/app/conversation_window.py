"""What a page shows of a conversation: the messages of its branch, as rows for the component."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from groundup.app.answers import Answers
from groundup.app.markdown import render
from groundup.app.model_choice import short_name
from groundup.app.store.conversations import Conversation, NotFoundError
from groundup.app.store.messages import Message
from groundup.app.store.store import Store

__all__ = ["ConversationWindow", "Difference"]

MOST_ROWS = 200  # at a time
LOST = "the end of this answer could not be kept: try again"

Row = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """What has become of the path: ``keep`` messages from its beginning are those from before."""

    keep: int
    count: int
    changed: list[int] = field(default_factory=list)  # of those that are kept: indices


class ConversationWindow:
    """One conversation of a user, as it was when it was last read."""

    def __init__(self, store: Store, answers: Answers, user: str, conversation: Conversation):
        self.conversation = conversation
        self.path: list[Message] = []
        self.ratings: dict[str, int] = {}
        self._store, self._answers, self._user = store, answers, user

    @property
    def head(self) -> Message | None:
        """The last message of the branch that is shown."""
        return self.path[-1] if self.path else None

    @property
    def streaming(self) -> bool:
        """Whether its last message is being written."""
        return self.head is not None and self._answers.writing(self.head.id)

    def message(self, id: str) -> Message:
        """One of those that are shown.

        Raises:
            NotFoundError: it is not among them (any more).
        """
        for message in self.path:
            if message.id == id:
                return message
        raise NotFoundError("this message is not shown any more: load the page anew")

    async def read(self) -> Difference:
        """Read it anew.

        Raises:
            NotFoundError: it was deleted.
        """

        def read() -> tuple[Conversation, list[Message], dict[str, int]]:
            store, user, id = self._store, self._user, self.conversation.id
            conversation = store.conversations.get(user, id)
            return conversation, store.messages.path(user, id), store.ratings.of(user, id)

        conversation, path, ratings = await asyncio.to_thread(read)
        keep, changed = 0, []
        for old, new in zip(self.path, path, strict=False):
            if old.id != new.id:
                break
            if old != new or self.ratings.get(old.id) != ratings.get(old.id):
                changed.append(keep)
            keep += 1
        self.conversation, self.path, self.ratings = conversation, path, ratings
        return Difference(keep, len(path), changed)

    async def rows(self, indices: Sequence[int]) -> list[Row]:
        """The rows of the messages that are there, at most `MOST_ROWS`.

        Those that grow are as they were when this returns: what is told of them later fits them.
        """
        there = [i for i in indices[:MOST_ROWS] if 0 <= i < len(self.path)]
        path, ratings = self.path, self.ratings
        # In a thread, as Markdown may take a while.
        rows = await asyncio.to_thread(lambda: [_row(path, i, ratings) for i in there])
        while over := [row for row in rows if row["state"] == "streaming" and not self._grows(row)]:
            for row in over:
                row.update(await asyncio.to_thread(self._ended, row, ratings))
        for row in rows:
            if progress := self._answers.progress(row["id"]):
                row.update(
                    state="streaming",
                    blocks=progress.blocks,
                    tokens=progress.tokens,
                    seconds=progress.seconds,
                    waiting=progress.waiting,
                )
        return rows

    def _grows(self, row: Row) -> bool:
        return self._answers.writing(row["id"])

    def _ended(self, row: Row, ratings: Mapping[str, int]) -> Row:
        """Of an answer that has ended since the path was read; or its end could not be kept."""
        with suppress(NotFoundError):  # deleted
            path = self._store.messages.path(self._user, self.conversation.id, row["id"])
            row = _row(path, len(path) - 1, ratings)
        return row if row["state"] != "streaming" else row | {"state": "failed", "error": LOST}


def _row(path: Sequence[Message], index: int, ratings: Mapping[str, int]) -> Row:
    message = path[index]
    row: Row = {
        "index": index,
        "id": message.id,
        "role": message.role,
        "text": message.content,
        "state": message.state,
        "branch": message.siblings.index(message.id),
        "branches": len(message.siblings),
    }
    if message.role == "user":
        return row | {"unanswered": index == len(path) - 1}
    return row | {
        "blocks": [render(message.content)] if message.content else [],
        "error": message.error,
        "model": short_name(message.model),
        "tokens": message.tokens,
        "seconds": message.seconds,
        "rating": ratings.get(message.id, 0),
        "own": message.parts,
    }
