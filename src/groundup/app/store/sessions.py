"""Who is signed in, and where. The database holds hashes of tokens, never a token itself."""

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import and_, select

from groundup.app.store.accounts import User
from groundup.app.store.database import Database
from groundup.app.store.tables import sessions, users

__all__ = ["LIFETIME", "Session", "Sessions", "token_hash"]

LIFETIME = 14 * 86400.0  # seconds from a sign-in to its end


@dataclass(frozen=True)
class Session:
    """A browser that is signed in. Times are seconds since 1970."""

    id: str  # the hash of its token
    user: User
    agent: str  # what the browser calls itself
    created: float
    expires: float


class Sessions:
    """Sessions of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, user: str, agent: str, lifetime: float = LIFETIME) -> str:
        """Begin one. Sessions that are over are forgotten.

        Returns:
            The token that the browser shows from now on; it has 256 random bits.
        """
        token, now = secrets.token_urlsafe(32), time.time()
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires <= now))
            connection.execute(
                sessions.insert().values(
                    token_hash=token_hash(token),
                    user_id=user,
                    agent=agent[:200],
                    created=now,
                    expires=now + lifetime,
                )
            )
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token; None if there is none, or it is over."""
        found = self._find(sessions.c.token_hash == token_hash(token))
        return found[0] if found else None

    def all(self, user: str) -> list[Session]:
        """A user's sessions, the latest first."""
        return self._find(sessions.c.user_id == user)

    def end(self, user: str, session: str) -> None:
        """End one of a user's sessions. Nothing happens if there is none of this id."""
        own = and_(sessions.c.user_id == user, sessions.c.token_hash == session)
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(own))

    def end_all(self, user: str, but: str = "") -> None:
        """End a user's sessions, all but the one of this id."""
        others = and_(sessions.c.user_id == user, sessions.c.token_hash != but)
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(others))

    def _find(self, which: object) -> list[Session]:
        query = (
            select(
                sessions.c.token_hash,
                sessions.c.agent,
                sessions.c.created,
                sessions.c.expires,
                users.c.id,
                users.c.name,
                users.c.role,
                users.c.created.label("user_created"),
            )
            .join(users)
            .where(which, sessions.c.expires > time.time())  # type: ignore[arg-type]
            .order_by(sessions.c.created.desc())
        )
        with self._database.reading() as connection:
            return [
                Session(
                    row.token_hash,
                    User(row.id, row.name, row.role, row.user_created),
                    row.agent,
                    row.created,
                    row.expires,
                )
                for row in connection.execute(query)
            ]


def token_hash(token: str) -> str:
    """What is kept of a token. It is random, so nothing slower is needed to keep it secret."""
    return sha256(token.encode(errors="replace")).hexdigest()
