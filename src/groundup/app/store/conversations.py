"""Conversations and the folders they lie in. Each call is about one user's own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from groundup.app.store import tables
from groundup.app.store.database import Database
from groundup.app.store.tables import conversations, folders, messages
from groundup.errors import GroundupError

__all__ = [
    "Conversation",
    "Conversations",
    "Folder",
    "Found",
    "NotFoundError",
    "own_conversation",
    "short_name",
]

NAME_LENGTH = 200  # characters of a title, or of a folder's name
EXCERPT = 60  # characters on each side of what was found


class NotFoundError(GroundupError):
    """What was asked for is not there, or belongs to somebody else: which of both is not told."""


@dataclass(frozen=True)
class Folder:
    """A folder of conversations."""

    id: str
    name: str
    created: float


@dataclass(frozen=True)
class Conversation:
    """A conversation without its messages. Times are seconds since 1970."""

    id: str
    title: str
    folder_id: str | None
    model: str
    system: str
    sampling: dict[str, Any]
    head_id: str | None  # the last message of the branch that is shown
    created: float
    updated: float


@dataclass(frozen=True)
class Found:
    """A conversation that a search found."""

    conversation: Conversation
    message_id: str | None  # None: its title matched
    excerpt: str


class Conversations:
    """Conversations and folders of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        user: str,
        *,
        title: str = "",
        model: str = "",
        system: str = "",
        sampling: Mapping[str, Any] | None = None,
        folder: str | None = None,
    ) -> Conversation:
        """Begin a conversation of the user with this id.

        Raises:
            NotFoundError: the user has no such folder.
        """
        now = time.time()
        made = Conversation(
            tables.new_id(),
            short_name(title),
            folder,
            model,
            system,
            dict(sampling or {}),
            None,
            now,
            now,
        )
        with self._database.writing() as connection:
            _own_folder(connection, user, folder)
            connection.execute(conversations.insert().values(user_id=user, **made.__dict__))
        return made

    def get(self, user: str, conversation: str) -> Conversation:
        """One of the user's conversations.

        Raises:
            NotFoundError: the user has none of this id.
        """
        with self._database.reading() as connection:
            return own_conversation(connection, user, conversation)

    def all(self, user: str) -> list[Conversation]:
        """All conversations of a user, the latest first."""
        query = (
            select(*_COLUMNS)
            .where(conversations.c.user_id == user)
            .order_by(conversations.c.updated.desc(), conversations.c.id)
        )
        with self._database.reading() as connection:
            return [Conversation(**row) for row in connection.execute(query).mappings()]

    def search(self, user: str, text: str, limit: int = 50) -> list[Found]:
        """Conversations whose title or messages hold a text, in either case; the latest first."""
        text = text.strip()
        if not text:
            return []
        hits = (
            select(messages.c.conversation_id, func.min(messages.c.created).label("first"))
            .join(conversations)
            .where(
                conversations.c.user_id == user,
                messages.c.content.icontains(text, autoescape=True),
            )
            .group_by(messages.c.conversation_id)
            .subquery()
        )
        first = and_(
            messages.c.conversation_id == conversations.c.id, messages.c.created == hits.c.first
        )
        query = (
            select(*_COLUMNS, messages.c.id.label("message_id"), messages.c.content)
            .select_from(
                conversations.outerjoin(
                    hits, hits.c.conversation_id == conversations.c.id
                ).outerjoin(messages, first)
            )
            .where(
                conversations.c.user_id == user,
                or_(
                    conversations.c.title.icontains(text, autoescape=True),
                    messages.c.id.is_not(None),
                ),
            )
            .order_by(conversations.c.updated.desc(), conversations.c.id)
            .limit(limit)
        )
        found: dict[str, Found] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query).mappings():
                values = dict(row)
                message, content = values.pop("message_id"), values.pop("content")
                conversation = Conversation(**values)
                if text.lower() in conversation.title.lower():
                    message, content = None, conversation.title
                found.setdefault(
                    conversation.id, Found(conversation, message, _excerpt(content, text))
                )
        return list(found.values())

    def rename(self, user: str, conversation: str, title: str) -> None:
        """Give it another title.

        Raises:
            NotFoundError: the user has no such conversation.
        """
        self._change(user, conversation, title=short_name(title))

    def move(self, user: str, conversation: str, folder: str | None) -> None:
        """Put it into a folder, or into none.

        Raises:
            NotFoundError: the user has no such conversation, or no such folder.
        """
        self._change(user, conversation, folder_id=folder)

    def configure(
        self, user: str, conversation: str, *, model: str, system: str, sampling: Mapping[str, Any]
    ) -> None:
        """Say how it goes on: model, system prompt and sampling.

        Raises:
            NotFoundError: the user has no such conversation.
        """
        self._change(user, conversation, model=model, system=system, sampling=dict(sampling))

    def delete(self, user: str, conversation: str) -> None:
        """Delete it with its messages and their ratings. Nothing happens if it is not there."""
        own = and_(conversations.c.user_id == user, conversations.c.id == conversation)
        with self._database.writing() as connection:
            connection.execute(conversations.delete().where(own))

    def create_folder(self, user: str, name: str) -> Folder:
        """Make a folder.

        Raises:
            GroundupError: the name is empty.
        """
        folder = Folder(tables.new_id(), _folder_name(name), time.time())
        with self._database.writing() as connection:
            connection.execute(folders.insert().values(user_id=user, **folder.__dict__))
        return folder

    def folders(self, user: str) -> list[Folder]:
        """The user's folders, by name."""
        query = select(folders.c.id, folders.c.name, folders.c.created)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(folders.c.user_id == user)).mappings()
            return sorted((Folder(**row) for row in rows), key=lambda f: (f.name.lower(), f.id))

    def rename_folder(self, user: str, folder: str, name: str) -> None:
        """Give it another name.

        Raises:
            NotFoundError: the user has no such folder.
            GroundupError: the name is empty.
        """
        values = {"name": _folder_name(name)}
        with self._database.writing() as connection:
            _own_folder(connection, user, folder)
            connection.execute(folders.update().where(folders.c.id == folder).values(values))

    def delete_folder(self, user: str, folder: str) -> None:
        """Delete a folder; its conversations stay, in none. Nothing happens if it is not there."""
        own = and_(folders.c.user_id == user, folders.c.id == folder)
        with self._database.writing() as connection:
            connection.execute(folders.delete().where(own))

    def _change(self, user: str, conversation: str, **values: Any) -> None:
        with self._database.writing() as connection:
            own_conversation(connection, user, conversation)
            _own_folder(connection, user, values.get("folder_id"))
            connection.execute(
                conversations.update().where(conversations.c.id == conversation).values(values)
            )


_COLUMNS = [column for column in conversations.c if column.name != "user_id"]


def own_conversation(connection: Connection, user: str, conversation: str) -> Conversation:
    """A user's conversation.

    Raises:
        NotFoundError: the user has none of this id.
    """
    own = and_(conversations.c.user_id == user, conversations.c.id == conversation)
    row = connection.execute(select(*_COLUMNS).where(own)).mappings().first()
    if row is None:
        raise NotFoundError("there is no such conversation: it was deleted, or the link is wrong")
    return Conversation(**row)


def short_name(name: str) -> str:
    """A name of one line, cut where it is too long."""
    return " ".join(name.split())[:NAME_LENGTH]


def _own_folder(connection: Connection, user: str, folder: str | None) -> None:
    own = and_(folders.c.user_id == user, folders.c.id == folder)
    if folder is not None and connection.execute(select(folders.c.id).where(own)).first() is None:
        raise NotFoundError("there is no such folder: it was deleted")


def _folder_name(name: str) -> str:
    if not short_name(name):
        raise GroundupError("a folder needs a name, got an empty one")
    return short_name(name)


def _excerpt(content: str, text: str) -> str:
    at = max(0, content.lower().find(text.lower()))
    start, end = max(0, at - EXCERPT), at + len(text) + EXCERPT
    cut = " ".join(content[start:end].split())
    return f"{'…' if start else ''}{cut}{'…' if end < len(content) else ''}"
