"""Settings: values of JSON under names, a user's own or the server's."""

import json
from typing import Any

from sqlalchemy import and_, select

from groundup.app.store.accounts import lock_user
from groundup.app.store.database import Database
from groundup.app.store.tables import server_settings, settings

__all__ = ["ServerSettings", "Settings"]


class Settings:
    """What each user set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, user: str, key: str, default: Any = None) -> Any:
        """The value, or ``default`` where none was put."""
        return self.all(user).get(key, default)

    def all(self, user: str) -> dict[str, Any]:
        """All values that the user put, by key."""
        query = select(settings.c.key, settings.c.value).where(settings.c.user_id == user)
        with self._database.reading() as connection:
            return {row.key: row.value for row in connection.execute(query)}

    def put(self, user: str, key: str, value: Any) -> None:
        """Put a value of JSON in the place of what was there.

        Raises:
            TypeError, ValueError: it cannot be written as JSON.
        """
        json.dumps(value, allow_nan=False)  # inside a statement, its errors would be others
        own = and_(settings.c.user_id == user, settings.c.key == key)
        with self._database.writing() as connection:
            lock_user(connection, user)
            connection.execute(settings.delete().where(own))
            connection.execute(settings.insert().values(user_id=user, key=key, value=value))


class ServerSettings:
    """What the admins set for all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default`` where none was put."""
        return self.all().get(key, default)

    def all(self) -> dict[str, Any]:
        """All values, by key."""
        with self._database.reading() as connection:
            rows = connection.execute(select(server_settings))
            return {row.key: row.value for row in rows}

    def put(self, key: str, value: Any) -> None:
        """Put a value of JSON in the place of what was there.

        Raises:
            TypeError, ValueError: it cannot be written as JSON.
        """
        json.dumps(value, allow_nan=False)
        with self._database.writing() as connection:
            known = server_settings.c.key == key
            put = server_settings.update().where(known).values(value=value)
            if not connection.execute(put).rowcount:
                connection.execute(server_settings.insert().values(key=key, value=value))
