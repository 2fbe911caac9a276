"""Who may use the app: accounts and their sessions. Passwords arrive here hashed."""

import re
import time
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from groundup.app.store.conversations import NotFoundError
from groundup.app.store.database import Database
from groundup.app.store.tables import new_id, users
from groundup.errors import GroundupError

__all__ = ["LOCAL", "Accounts", "Role", "User", "account_name", "lock_user"]

Role = Literal["admin", "member"]
LOCAL = "local"  # the user of an app that only its own machine reaches


@dataclass(frozen=True)
class User:
    """Somebody with data of their own."""

    id: str
    name: str
    role: Role
    created: float

    @property
    def is_admin(self) -> bool:
        """Whether they may manage accounts, endpoints and limits."""
        return self.role == "admin"


class Accounts:
    """Users of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def local(self) -> User:
        """The user of an app without sign-in: an admin without a password."""
        with self._database.writing() as connection:
            row = connection.execute(select(*_COLUMNS).where(users.c.name == LOCAL)).mappings()
            if found := row.first():
                return User(**found)
            return _insert(connection, LOCAL, None, "admin")

    def add(self, name: str, password_hash: str, role: Role) -> User:
        """Make an account.

        Raises:
            GroundupError: there is one of this name, or it is not a name.
        """
        name = account_name(name)
        with self._database.writing() as connection:
            if connection.execute(select(users.c.id).where(users.c.name == name)).first():
                raise GroundupError(f"there is an account {name!r} already: choose another name")
            return _insert(connection, name, password_hash, role)

    def get(self, user: str) -> User:
        """The user with this id.

        Raises:
            NotFoundError: there is none.
        """
        query = select(*_COLUMNS).where(users.c.id == user)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError("this account was removed")
        return User(**row)

    def all(self) -> list[User]:
        """The accounts, by name. The user ``local`` is none."""
        query = select(*_COLUMNS).where(users.c.password_hash.is_not(None)).order_by(users.c.name)
        with self._database.reading() as connection:
            return [User(**row) for row in connection.execute(query).mappings()]

    def password_hash(self, name: str) -> tuple[User, str] | None:
        """The account of this name with the hash of its password; None where there is none."""
        query = select(*_COLUMNS, users.c.password_hash).where(
            users.c.name == name.strip().lower(), users.c.password_hash.is_not(None)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        values = dict(row)
        password_hash: str = values.pop("password_hash")
        return User(**values), password_hash

    def set_password_hash(self, name: str, password_hash: str) -> User:
        """Give an account another password. Returns the account.

        Raises:
            NotFoundError: there is no such account.
        """
        with self._database.writing() as connection:
            user = _account(connection, name)
            connection.execute(
                users.update().where(users.c.id == user.id).values(password_hash=password_hash)
            )
        return user

    def set_role(self, name: str, role: Role) -> None:
        """Give an account another role.

        Raises:
            NotFoundError: there is no such account.
            GroundupError: no admin would be left.
        """
        with self._database.writing() as connection:
            user = _account(connection, name)
            if role != "admin":
                _keep_an_admin(connection, user)
            connection.execute(users.update().where(users.c.id == user.id).values(role=role))

    def remove(self, name: str) -> None:
        """Remove an account with everything it has.

        Raises:
            NotFoundError: there is no such account.
            GroundupError: no admin would be left while there are other accounts.
        """
        with self._database.writing() as connection:
            user = _account(connection, name)
            others = select(func.count()).where(
                users.c.password_hash.is_not(None), users.c.id != user.id
            )
            if connection.execute(others).scalar_one():
                _keep_an_admin(connection, user)
            connection.execute(users.delete().where(users.c.id == user.id))


_COLUMNS = [column for column in users.c if column.name != "password_hash"]


def account_name(name: str) -> str:
    """A name in the form in which it is kept.

    Raises:
        GroundupError: it is not a name.
    """
    name = name.strip().lower()
    if name == LOCAL or not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise GroundupError(
            f"an account's name is 1 to 64 letters a-z, digits, '.', '_' and '-', begins with a "
            f"letter or digit, and is not {LOCAL!r}; got {name[:80]!r}"
        )
    return name


def lock_user(connection: Connection, user: str) -> None:
    """Hold a user's row until the transaction ends, so that two do not insert the same.

    SQLite has one writer at a time anyway.
    """
    connection.execute(select(users.c.id).where(users.c.id == user).with_for_update())


def _insert(connection: Connection, name: str, password_hash: str | None, role: Role) -> User:
    user = User(new_id(), name, role, time.time())
    connection.execute(users.insert().values(password_hash=password_hash, **user.__dict__))
    return user


def _account(connection: Connection, name: str) -> User:
    row = connection.execute(
        select(*_COLUMNS).where(
            users.c.name == name.strip().lower(), users.c.password_hash.is_not(None)
        )
    ).mappings()
    if (found := row.first()) is None:
        raise NotFoundError(f"there is no account {name!r}: groundup users list shows them")
    return User(**found)


def _keep_an_admin(connection: Connection, user: User) -> None:
    others = select(func.count()).where(
        users.c.role == "admin", users.c.password_hash.is_not(None), users.c.id != user.id
    )
    if user.is_admin and not connection.execute(others).scalar_one():
        raise GroundupError(f"{user.name} is the only admin: make another one first")
