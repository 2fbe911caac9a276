"""Brings a database to this version's tables, with a backup before anything changes."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError

from groundup import __version__
from groundup.app.store.database import Database
from groundup.app.store.tables import metadata, schema_history
from groundup.errors import GroundupError

__all__ = ["KEPT_BACKUPS", "MIGRATIONS", "backup_folder", "migrate"]

MIGRATIONS = Path(__file__).parent / "migrations"
KEPT_BACKUPS = 5
_LOCK = 0x67726F756E64  # of PostgreSQL: one process migrates, others wait for it


def migrate(database: Database, scripts: Path = MIGRATIONS) -> None:
    """Run the migrations that are missing: all of them in one transaction, or none.

    Raises:
        GroundupError: the database is from a newer version of groundup, holds something else,
            cannot be used, or no backup of it could be made. Nothing is changed then.
    """
    script = ScriptDirectory(str(scripts))
    newest = script.get_current_head()
    with database.writing() as connection:
        if database.path is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        at = MigrationContext.configure(connection).get_current_revision()
        if at == newest:
            return
        known = {revision.revision for revision in script.walk_revisions()}
        if at is None:
            _refuse_foreign_tables(database, connection)
        elif at not in known:
            raise GroundupError(_newer(database, connection, at, newest))
        else:
            _back_up(database, connection, at)
        _upgrade(connection, script)
        connection.execute(
            schema_history.insert().values(
                revision=newest, groundup=__version__, applied=time.time()
            )
        )


def backup_folder(database: Path) -> Path:
    """Where the backups of a file of SQLite lie: beside it."""
    return database.parent / "backups"


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    environment = EnvironmentContext(
        Config(), script, fn=lambda revision, _: script._upgrade_revs("head", revision)
    )
    with environment:
        # In one transaction, which SQLite's tables obey too once BEGIN is our own.
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def _refuse_foreign_tables(database: Database, connection: Connection) -> None:
    if taken := set(inspect(connection).get_table_names()) & set(metadata.tables):
        raise GroundupError(
            f"{database.where} holds tables that groundup did not make ({sorted(taken)[0]}): "
            f"name another database"
        )


def _newer(database: Database, connection: Connection, at: str, newest: str | None) -> str:
    try:
        with connection.begin_nested():
            row = connection.execute(
                select(schema_history.c.groundup).where(schema_history.c.revision == at)
            ).first()
    except DBAPIError:
        row = None
    version = f"groundup {row.groundup}" if row else "another version of groundup"
    if database.path is None:
        backups = "the schemas of this database whose names begin with groundup_backup_"
    else:
        backups = str(backup_folder(database.path))
    return (
        f"{database.where} was written by {version} (tables {at}), and this is groundup "
        f"{__version__}, which knows tables up to {newest}: install that version again, or put a "
        f"backup from before it in the database's place (they are kept in: {backups})"
    )


def _back_up(database: Database, connection: Connection, at: str) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    if database.path is None:
        _copy_tables(database, connection, f"groundup_backup_{stamp.replace('-', '_')}")
    else:
        _copy_file(database.path, backup_folder(database.path) / f"{stamp}-tables-{at}.db")


def _copy_file(path: Path, backup: Path) -> None:
    temporary = backup.with_suffix(".part")
    try:
        backup.parent.mkdir(mode=0o700, exist_ok=True)
        for unfinished in backup.parent.glob("*.part"):  # of a process that was killed
            unfinished.unlink()
        temporary.touch(mode=0o600)
        try:
            with (
                closing(sqlite3.connect(path)) as source,
                closing(sqlite3.connect(temporary)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # no log beside it
            temporary.replace(backup)
        finally:
            temporary.unlink(missing_ok=True)
        for old in sorted(backup.parent.glob("*-tables-*.db"))[:-KEPT_BACKUPS]:
            old.unlink()
    except (OSError, sqlite3.Error) as error:
        raise GroundupError(
            f"{path} needs a migration, and no backup of it could be written to "
            f"{backup.parent} ({error}): nothing was changed; free some space, or mend the folder"
        ) from None


def _copy_tables(database: Database, connection: Connection, schema: str) -> None:
    try:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        for table in inspect(connection).get_table_names():
            connection.execute(text(f'CREATE TABLE {schema}."{table}" AS TABLE "{table}"'))
        ours = [
            n for n in inspect(connection).get_schema_names() if n.startswith("groundup_backup_")
        ]
        for old in sorted(ours)[:-KEPT_BACKUPS]:
            connection.execute(text(f"DROP SCHEMA {old} CASCADE"))
    except DBAPIError as error:
        raise GroundupError(
            f"{database.where} needs a migration, and no backup of it could be made in a schema of "
            f"its own ({str(error.orig).splitlines()[0]}): nothing was changed; let its user "
            f"create schemas"
        ) from None
