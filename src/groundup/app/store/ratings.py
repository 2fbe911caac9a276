"""Thumbs up and down, and the preference pairs they make."""

import json
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, and_, select

from groundup.app.store.accounts import lock_user
from groundup.app.store.conversations import own_conversation
from groundup.app.store.database import Database
from groundup.app.store.messages import Message, branch, message_tree, own_message
from groundup.app.store.tables import conversations, messages, ratings

__all__ = ["Ratings"]


class Ratings:
    """Ratings of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rate(self, user: str, message: str, value: int) -> None:
        """Rate a message: 1 is good, -1 is bad, 0 takes the rating back.

        Raises:
            NotFoundError: the user has no such message.
            ValueError: the value is another.
        """
        if value not in (-1, 0, 1):
            raise ValueError(f"a rating is -1, 0 or 1, got {value}")
        own = and_(ratings.c.user_id == user, ratings.c.message_id == message)
        with self._database.writing() as connection:
            lock_user(connection, user)
            own_message(connection, user, message)
            connection.execute(ratings.delete().where(own))
            if value:
                connection.execute(
                    ratings.insert().values(
                        user_id=user, message_id=message, value=value, created=time.time()
                    )
                )

    def of(self, user: str, conversation: str) -> dict[str, int]:
        """The ratings in a conversation, by message id.

        Raises:
            NotFoundError: the user has no such conversation.
        """
        with self._database.reading() as connection:
            own_conversation(connection, user, conversation)
            return _ratings(connection, user, conversation)

    def preference_pairs(self, user: str) -> Iterator[str]:
        """Pairs of answers to one message, the one rated good and the other bad: lines of JSON.

        Each is ``{"prompt": [message, ...], "chosen": [message], "rejected": [message]}`` with
        messages ``{"role": ..., "content": ...}``, as preference tuning reads them (Rafailov et
        al. 2023, "Direct preference optimization", section 3). The system prompt is the first of
        the prompt's messages. Answers that failed make no pairs.
        """
        rated = (
            select(messages.c.conversation_id)
            .distinct()
            .join(ratings)
            .where(ratings.c.user_id == user)
        )
        query = (
            select(conversations.c.id, conversations.c.system)
            .where(conversations.c.user_id == user, conversations.c.id.in_(rated))
            .order_by(conversations.c.created, conversations.c.id)
        )
        with self._database.reading() as connection:
            for conversation in connection.execute(query).all():
                tree = message_tree(connection, conversation.id)
                values = _ratings(connection, user, conversation.id)
                for pair in _pairs(conversation.system, tree, values):
                    yield json.dumps(pair, ensure_ascii=False)


def _ratings(connection: Connection, user: str, conversation: str) -> dict[str, int]:
    rows = connection.execute(
        select(ratings.c.message_id, ratings.c.value)
        .join(messages)
        .where(messages.c.conversation_id == conversation, ratings.c.user_id == user)
    )
    return {row.message_id: row.value for row in rows}


def _pairs(
    system: str, tree: list[Message], values: dict[str, int]
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    answers = [m for m in tree if m.role == "assistant" and m.state in ("complete", "stopped")]
    for good in answers:
        for bad in answers:
            if (
                good.parent_id == bad.parent_id
                and values.get(good.id) == 1
                and values.get(bad.id) == -1
            ):
                prompt = [_plain(m) for m in branch(tree, good.parent_id)]
                if system:
                    prompt.insert(0, {"role": "system", "content": system})
                yield {"prompt": prompt, "chosen": [_plain(good)], "rejected": [_plain(bad)]}


def _plain(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content}
