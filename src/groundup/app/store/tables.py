"""The tables as the newest migration leaves them. A change here needs a migration beside it."""

import json
import secrets
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "conversations",
    "folders",
    "messages",
    "metadata",
    "new_id",
    "ratings",
    "schema_history",
    "server_settings",
    "sessions",
    "settings",
    "users",
]


def new_id() -> str:
    """A name for a row that nobody can guess: 16 characters of 96 random bits."""
    return secrets.token_urlsafe(12)


class CleanText(TypeDecorator[str]):
    """Text that every database takes: what is no character of Unicode becomes U+FFFD.

    A model may write a zero byte, which PostgreSQL refuses; a broken client, half a surrogate pair.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value.replace("\0", "\ufffd")


class Json(TypeDecorator[Any]):
    """A value of JSON as ASCII text, so that any string in it comes back as it was."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


def _of_user() -> Column[str]:
    return Column("user_id", CleanText, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


metadata = MetaData()

# Which migration ran, when, and from which version of groundup. Every later version keeps this
# table as it is: an older groundup reads it to say what it met.
schema_history = Table(
    "schema_history",
    metadata,
    Column("revision", String, primary_key=True),
    Column("groundup", String, nullable=False),
    Column("applied", Double, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", CleanText, primary_key=True),
    Column("name", CleanText, nullable=False, unique=True),
    Column("password_hash", CleanText),  # None: cannot sign in
    Column("role", CleanText, nullable=False),
    Column("created", Double, nullable=False),
    CheckConstraint("role IN ('admin', 'member')", name="role"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", CleanText, primary_key=True),
    _of_user(),
    Column("agent", CleanText, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Index("sessions_of_user", "user_id"),
)

folders = Table(
    "folders",
    metadata,
    Column("id", CleanText, primary_key=True),
    _of_user(),
    Column("name", CleanText, nullable=False),
    Column("created", Double, nullable=False),
    Index("folders_of_user", "user_id"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", CleanText, primary_key=True),
    _of_user(),
    Column("title", CleanText, nullable=False),
    Column("folder_id", CleanText, ForeignKey("folders.id", ondelete="SET NULL")),
    Column("model", CleanText, nullable=False),
    Column("system", CleanText, nullable=False),
    Column("sampling", Json, nullable=False),
    Column("head_id", CleanText),  # the last message of the branch that is shown
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("conversations_of_user", "user_id", "updated"),
    Index("conversations_of_folder", "folder_id"),
)

# No cascade along parent_id: a conversation goes with all its messages in one statement, and a
# chain of thousands would be deeper than SQLite's limit for cascades.
messages = Table(
    "messages",
    metadata,
    Column("id", CleanText, primary_key=True),
    Column(
        "conversation_id",
        CleanText,
        ForeignKey("conversations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column(
        "parent_id",
        CleanText,
        ForeignKey("messages.id", deferrable=True, initially="DEFERRED"),
    ),
    Column("role", CleanText, nullable=False),
    Column("content", CleanText, nullable=False),
    Column("state", CleanText, nullable=False),
    Column("error", CleanText, nullable=False),
    Column("model", CleanText, nullable=False),
    Column("tokens", Integer),
    Column("seconds", Double),
    Column("parts", Json, nullable=False),
    Column("created", Double, nullable=False),
    CheckConstraint("role IN ('system', 'user', 'assistant', 'tool')", name="message_role"),
    CheckConstraint("state IN ('streaming', 'complete', 'stopped', 'failed')", name="state"),
    Index("messages_of_conversation", "conversation_id", "created"),
    Index("messages_of_parent", "parent_id"),
)

ratings = Table(
    "ratings",
    metadata,
    Column("message_id", CleanText, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    _of_user(),
    Column("value", Integer, nullable=False),
    Column("created", Double, nullable=False),
    PrimaryKeyConstraint("message_id", "user_id"),
    CheckConstraint("value IN (-1, 1)", name="rating"),
    Index("ratings_of_user", "user_id"),
)

settings = Table(
    "settings",
    metadata,
    _of_user(),
    Column("key", CleanText, nullable=False),
    Column("value", Json, nullable=False),
    PrimaryKeyConstraint("user_id", "key"),
)

server_settings = Table(
    "server_settings",
    metadata,
    Column("key", CleanText, primary_key=True),
    Column("value", Json, nullable=False),
)
