"""A connection to SQLite or PostgreSQL: transactions, and errors that say what to do."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from groundup.errors import GroundupError

__all__ = ["Database", "default_url"]

PATIENCE = 5.0  # seconds to wait for a lock that another process holds
TURN = 60.0  # seconds to wait for other writers of this process


def default_url(folder: Path) -> str:
    """Where the app keeps its data if no URL is named: a file of SQLite in its folder."""
    return f"sqlite:///{folder / 'groundup.db'}"


class Database:
    """Transactions on one database. All calls block; any thread may make them."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        """Open the database; its file is made, for its owner alone, if it is not there.

        Args:
            url: ``sqlite:////absolute/path`` or ``postgresql://user:password@host/name``.
            patience: seconds to wait for a lock.

        Raises:
            GroundupError: the URL is of another kind, or the file's folder cannot be written.
        """
        kind = url.split(":")[0]
        if kind not in ("sqlite", "postgresql", "postgres"):
            # The URL itself is not repeated: it may hold a password.
            raise GroundupError(
                "the database is named by a URL, sqlite:////absolute/path.db or "
                f"postgresql://user:password@host/name, got one that begins {kind[:12]!r}"
            )
        self.path: Path | None = None  # of SQLite's file
        # Writers of this process take turns here, in order; SQLite would let them poll.
        self._turn: AbstractContextManager[Any] = nullcontext()
        if kind == "sqlite":
            path = url.removeprefix("sqlite:///")
            if path in ("", url, ":memory:"):
                raise GroundupError("sqlite:// needs a file: sqlite:////absolute/path.db")
            self.path = Path(path)
            self.where = str(self.path)
            self._make_private_file(self.path)
            self._turn = _Turn(self.where)
            self.engine = _sqlite(self.path, patience)
        else:
            try:
                parsed = make_url(url)
            except (ArgumentError, ValueError):
                raise GroundupError(
                    "the database's URL is not postgresql://user:password@host/name: spell "
                    "special characters of the password as %40, and so on"
                ) from None
            self.where = f"{parsed.host or 'localhost'}/{parsed.database}"
            wait = int(patience * 1000)
            try:
                self.engine = create_engine(
                    parsed.set(drivername="postgresql+psycopg"),
                    pool_size=10,
                    pool_pre_ping=True,
                    connect_args={
                        "connect_timeout": 5,
                        "options": f"-c lock_timeout={wait} -c statement_timeout=120000",
                    },
                )
            except ModuleNotFoundError:
                raise GroundupError(
                    "PostgreSQL needs psycopg, which is not installed: pip install "
                    "'groundup[app,scale]'"
                ) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the data throughout, and changes none.

        Raises:
            GroundupError: the database cannot be used; the message says why.
        """
        with self._plain_errors(), self.engine.connect() as connection:
            if self.path is None:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on the disk when the block ends, whole, or leaves nothing.

        Raises:
            GroundupError: the database cannot be used; the message says why.
        """
        with self._plain_errors(), self._turn, self.engine.connect() as connection:
            # A transaction that reads first and asks for the lock later would be refused at once.
            connection.execution_options(groundup_writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @staticmethod
    def _make_private_file(path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives the files that it puts beside this one the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise GroundupError(f"cannot keep the app's data in {path}: {error.strerror}") from None

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError:
            raise GroundupError(
                f"the database {self.where} is busy: all connections are in use; try again"
            ) from None
        except DBAPIError as error:
            explained = self._explained(error)
            if explained is None:
                raise
            raise GroundupError(explained) from error

    def _explained(self, error: DBAPIError) -> str | None:
        cause = error.orig
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        else:
            state = getattr(cause, "sqlstate", None)
            code = _SQLSTATES.get(state or "", 0)
            if not code and state is None and isinstance(error, OperationalError):
                return (
                    f"the database {self.where} cannot be reached ({str(cause).splitlines()[0]}): "
                    f"start it, or check its URL"
                )
        reason = _REASONS.get(code)
        return reason and f"the database {self.where} {reason}"


class _Turn:
    """A lock that is not waited for without end."""

    def __init__(self, where: str) -> None:
        self._lock = threading.Lock()
        self._where = where

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=TURN):
            raise GroundupError(
                f"the database {self._where} was busy for {TURN:g} s: nothing was written; try "
                f"again when an import, or what else is long, has ended"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_REASONS = {
    sqlite3.SQLITE_BUSY: "is locked by another process, and stayed so: nothing was written; end "
    "the other process, or try again",
    sqlite3.SQLITE_FULL: "has no space left on its disk: nothing was written; free some and try "
    "again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: nothing was written; see whether its disk is "
    "full or failing",
    sqlite3.SQLITE_READONLY: "cannot be written: give its file and folder back to your user",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: give its file and folder back to your user",
    sqlite3.SQLITE_CORRUPT: "is damaged: put one of the backups beside it in its place",
    sqlite3.SQLITE_NOTADB: "is not a file of SQLite: move it away, or put one of the backups "
    "beside it in its place",
}
_REASONS[sqlite3.SQLITE_LOCKED] = _REASONS[sqlite3.SQLITE_BUSY]

_SQLSTATES = {  # PostgreSQL's, appendix A of its manual
    "55P03": sqlite3.SQLITE_BUSY,  # lock_not_available
    "53100": sqlite3.SQLITE_FULL,  # disk_full
    "58030": sqlite3.SQLITE_IOERR,  # io_error
    "25006": sqlite3.SQLITE_READONLY,  # read_only_sql_transaction
}


def _sqlite(path: Path, patience: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=10,
        connect_args={"timeout": patience, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # transactions begin below, and nowhere else
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a loss of power
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted does not stay in the file
        # SQLite's own knows ASCII only; a search should find É by é.
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("groundup_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
