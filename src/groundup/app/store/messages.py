"""Messages: a tree in each conversation, of which one branch is shown."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, and_, select

from groundup.app.store import tables
from groundup.app.store.conversations import NotFoundError, own_conversation
from groundup.app.store.database import Database
from groundup.app.store.tables import conversations, messages

__all__ = ["Message", "Messages", "Role", "State", "branch", "message_tree", "own_message"]

Role = Literal["system", "user", "assistant", "tool"]
State = Literal["streaming", "complete", "stopped", "failed"]


@dataclass(frozen=True)
class Message:
    """One message. Times are seconds since 1970."""

    id: str
    conversation_id: str
    parent_id: str | None  # None: a beginning of the conversation
    role: Role
    content: str
    state: State
    error: str  # why it failed
    model: str
    tokens: int | None
    seconds: float | None  # that the answer took
    parts: list[str]  # the learner's own parts that wrote it
    created: float
    siblings: tuple[str, ...] = ()  # ids under the same parent, this one included, oldest first


class Messages:
    """Messages of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        user: str,
        conversation: str,
        *,
        parent: str | None,
        role: Role,
        content: str,
        state: State = "complete",
        model: str = "",
        parts: Sequence[str] = (),
    ) -> Message:
        """Add a message below another; the branch that ends in it is the one shown from now on.

        Args:
            user: whose conversation it is.
            conversation: its id.
            parent: id of the message before it; None begins the conversation (again).
            role: who says it.
            content: what is said.
            state: "streaming" for an answer that is still being written.
            model: that writes it.
            parts: ids of the learner's own parts that take part.

        Raises:
            NotFoundError: the user has no such conversation, or it has no such parent.
        """
        now = time.time()
        made = Message(
            tables.new_id(),
            conversation,
            parent,
            role,
            content,
            state,
            "",
            model,
            None,
            None,
            list(parts),
            now,
        )
        values = {name: made.__dict__[name] for name in messages.c.keys()}  # noqa: SIM118
        with self._database.writing() as connection:
            own_conversation(connection, user, conversation)
            if parent is not None:
                own_message(connection, user, parent, conversation)
            connection.execute(messages.insert().values(values))
            connection.execute(
                conversations.update()
                .where(conversations.c.id == conversation)
                .values(head_id=made.id, updated=now)
            )
        return made

    def update(
        self,
        user: str,
        message: str,
        *,
        content: str | None = None,
        state: State | None = None,
        error: str | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        parts: Sequence[str] | None = None,
    ) -> None:
        """Change what is given, and leave what is None.

        Raises:
            NotFoundError: the user has no such message.
        """
        given: dict[str, Any] = {
            "content": content,
            "state": state,
            "error": error,
            "tokens": tokens,
            "seconds": seconds,
            "parts": None if parts is None else list(parts),
        }
        given = {name: value for name, value in given.items() if value is not None}
        with self._database.writing() as connection:
            own_message(connection, user, message)
            if given:
                connection.execute(messages.update().where(messages.c.id == message).values(given))

    def get(self, user: str, message: str) -> Message:
        """One message.

        Raises:
            NotFoundError: the user has no such message.
        """
        with self._database.reading() as connection:
            conversation = own_message(connection, user, message)
            return next(m for m in message_tree(connection, conversation) if m.id == message)

    def path(self, user: str, conversation: str, head: str | None = None) -> list[Message]:
        """The messages from the first to ``head``, or to the conversation's own head.

        Raises:
            NotFoundError: the user has no such conversation, or it has no such head.
        """
        with self._database.reading() as connection:
            own = own_conversation(connection, user, conversation)
            found = branch(message_tree(connection, conversation), head or own.head_id)
        if head is not None and not found:
            raise NotFoundError("there is no such message in this conversation")
        return found

    def tree(self, user: str, conversation: str) -> list[Message]:
        """All messages of all branches, oldest first.

        Raises:
            NotFoundError: the user has no such conversation.
        """
        with self._database.reading() as connection:
            own_conversation(connection, user, conversation)
            return message_tree(connection, conversation)

    def set_head(self, user: str, conversation: str, message: str) -> str:
        """Show the branch through a message: from it on, the newest message each time.

        Returns:
            The id of the branch's last message: the conversation's head from now on.

        Raises:
            NotFoundError: the user has no such conversation, or it has no such message.
        """
        with self._database.writing() as connection:
            own_conversation(connection, user, conversation)
            own_message(connection, user, message, conversation)
            rows = connection.execute(
                select(messages.c.parent_id, messages.c.id)
                .where(messages.c.conversation_id == conversation)
                .order_by(messages.c.created, messages.c.id)
            )
            # A later child takes the place of an earlier one.
            newest_below: dict[str | None, str] = {row.parent_id: row.id for row in rows}
            while message in newest_below:
                message = newest_below[message]
            connection.execute(
                conversations.update()
                .where(conversations.c.id == conversation)
                .values(head_id=message)
            )
        return message

    def fail_streaming(self, error: str) -> int:
        """Mark answers as failed that say they are being written: their process has ended.

        For the start of the app. What they hold stays.

        Returns:
            How many there were, of all users.
        """
        streaming = messages.c.state == "streaming"
        with self._database.writing() as connection:
            return connection.execute(
                messages.update().where(streaming).values(state="failed", error=error)
            ).rowcount


def branch(tree: Iterable[Message], head: str | None) -> list[Message]:
    """The messages from the first to one with this id; none if it is not among them."""
    by_id = {message.id: message for message in tree}
    path: list[Message] = []
    while head is not None and head in by_id:
        path.append(by_id[head])
        head = by_id[head].parent_id
    return path[::-1]


def message_tree(connection: Connection, conversation: str) -> list[Message]:
    rows = connection.execute(
        select(messages)
        .where(messages.c.conversation_id == conversation)
        .order_by(messages.c.created, messages.c.id)
    ).mappings()
    tree = [Message(**row) for row in rows]
    siblings: dict[str | None, list[str]] = {}
    for message in tree:
        siblings.setdefault(message.parent_id, []).append(message.id)
    return [replace(m, siblings=tuple(siblings[m.parent_id])) for m in tree]


def own_message(
    connection: Connection, user: str, message: str, conversation: str | None = None
) -> str:
    """The id of its conversation."""
    own = and_(messages.c.id == message, conversations.c.user_id == user)
    if conversation is not None:
        own = and_(own, conversations.c.id == conversation)
    found: str | None = connection.execute(
        select(conversations.c.id).join(messages).where(own)
    ).scalar()
    if found is None:
        raise NotFoundError("there is no such message in this conversation")
    return found
