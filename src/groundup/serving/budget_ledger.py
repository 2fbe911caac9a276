"""What every API key has used, in SQLite: it outlives the process, and processes share it."""

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from groundup.errors import GroundupError

__all__ = ["Account", "BudgetLedger", "Ledger", "Use"]


class Account(NamedTuple):
    """One key in one period."""

    key: str  # its SHA-256 digest, in hexadecimal
    period: str  # 2026-11-24, 2026-11 or total


class Use(NamedTuple):
    """What was used."""

    requests: int = 0
    tokens: int = 0


class Ledger(Protocol):
    """Where uses are added up."""

    async def add(self, uses: Mapping[Account, Use]) -> dict[Account, Use]:
        """Add uses, all or none; returns the sums afterwards, those of others included.

        Raises:
            OSError: nothing was added.
        """

    async def close(self) -> None: ...


class BudgetLedger:
    """A file of SQLite."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if it is not there.

        Raises:
            GroundupError: it cannot be opened, or is something else.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Its calls run in other threads, one after the other.
            self._database = sqlite3.connect(path, timeout=5, check_same_thread=False)
            # A write is then one append to the log. What it loses when power fails is the last
            # moments' counts, and never the file.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS used (key TEXT, period TEXT, requests INTEGER NOT NULL,"
                " tokens INTEGER NOT NULL, PRIMARY KEY (key, period)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise GroundupError(f"cannot keep budgets in {path}: {error}") from None
        self._turn = asyncio.Lock()

    async def add(self, uses: Mapping[Account, Use]) -> dict[Account, Use]:
        """As `Ledger.add`."""
        async with self._turn:
            return await asyncio.to_thread(self._add, uses)

    def _add(self, uses: Mapping[Account, Use]) -> dict[Account, Use]:
        try:
            with self._database:  # one transaction
                sums = {}
                for account, use in uses.items():
                    row = self._database.execute(
                        "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                        " requests = requests + excluded.requests,"
                        " tokens = tokens + excluded.tokens RETURNING requests, tokens",
                        (*account, *use),
                    ).fetchone()
                    sums[account] = Use(*row)
                return sums
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    async def close(self) -> None:
        """Close the file."""
        async with self._turn:
            self._database.close()
