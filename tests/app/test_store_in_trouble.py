"""Migrations with a backup; databases that are newer, foreign, locked, full, damaged; kill -9."""

import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, inspect, text

from groundup import __version__
from groundup.app.store import migrate as module
from groundup.app.store.conversations import Conversations
from groundup.app.store.database import Database, default_url
from groundup.app.store.migrate import MIGRATIONS, migrate
from groundup.app.store.store import Store
from groundup.app.store.tables import metadata
from groundup.errors import GroundupError

SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("folders", sa.Column("colour", sa.Text))
    op.execute("UPDATE folders SET name = 'migrated'")
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a later version."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "versions" / "second.py").write_text(SECOND)
    return folder


def backups(url: str) -> list[str]:
    """Of SQLite, paths; of PostgreSQL, schemas."""
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent / "backups"
        return sorted(map(str, folder.iterdir())) if folder.exists() else []
    with closing(psycopg.connect(url)) as connection:
        query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'groundup_backup_%' ORDER BY 1"
        return [row[0] for row in connection.execute(query)]


def folder_names(url: str, backup: str | None = None) -> list[str]:
    query = "SELECT name FROM {}folders ORDER BY name"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(backup or url.removeprefix("sqlite:///"))) as file:
            return [row[0] for row in file.execute(query.format(""))]
    with closing(psycopg.connect(url)) as connection:
        where = f"{backup}." if backup else ""
        return [row[0] for row in connection.execute(query.format(where).encode())]


def run_migrations(url: str, scripts: Path) -> None:
    database = Database(url)
    try:
        migrate(database, scripts)
    finally:
        database.close()


def test_the_migrations_make_these_tables(store: Store) -> None:
    with store._database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert not compare_metadata(context, metadata)


def test_a_migration_is_backed_up(
    store: Store, ada: str, database_url: str, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.conversations.create_folder(ada, "before")
    run_migrations(database_url, MIGRATIONS)
    assert not backups(database_url)  # nothing to do, nothing to back up
    run_migrations(database_url, newer)
    (backup,) = backups(database_url)
    assert folder_names(database_url) == ["migrated"]
    assert folder_names(database_url, backup) == ["before"]
    if database_url.startswith("sqlite"):
        assert stat.S_IMODE(Path(backup).stat().st_mode) == 0o600
        shutil.copy(backup, tmp := Path(backup).parent / "again.db")
        again = Store(f"sqlite:///{tmp}")
        assert [f.name for f in again.conversations.folders(ada)] == ["before"]
        again.close()
        tmp.unlink()
    monkeypatch.setattr(module, "KEPT_BACKUPS", 2)
    for i in range(3, 6):
        source = SECOND.replace('"0002", "0001"', f'"000{i}", "000{i - 1}"')
        source = source.replace("colour", f"colour{i}").replace("migrated", f"migrated {i}")
        (newer / "versions" / f"at{i}.py").write_text(source)
        run_migrations(database_url, newer)
    kept = backups(database_url)
    assert [folder_names(database_url, b) for b in kept] == [["migrated 3"], ["migrated 4"]]


def test_a_migration_that_fails_changes_nothing(
    store: Store, ada: str, database_url: str, newer: Path
) -> None:
    store.conversations.create_folder(ada, "before")
    broken = f"{SECOND}    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    (newer / "versions" / "second.py").write_text(broken)
    with pytest.raises(Exception, match="nowhere"):
        run_migrations(database_url, newer)
    assert store.conversations.folders(ada)[0].name == "before"
    with store._database.reading() as connection:
        columns = [c["name"] for c in inspect(connection).get_columns("folders")]
        assert "colour" not in columns
    run_migrations(database_url, MIGRATIONS)


def test_no_backup_no_migration(
    store: Store, ada: str, database_url: str, newer: Path, tmp_path: Path
) -> None:
    store.conversations.create_folder(ada, "before")
    if database_url.startswith("sqlite"):
        (tmp_path / "app" / "backups").write_text("a file, where the folder should be")
    else:
        with closing(psycopg.connect(database_url, autocommit=True)) as connection:
            name = connection.info.dbname
            connection.execute("CREATE ROLE someone LOGIN")
            connection.execute("GRANT USAGE ON SCHEMA public TO someone")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO someone")
            connection.execute(f"REVOKE CREATE ON DATABASE {name} FROM PUBLIC".encode())
        database_url = database_url.replace("groundup@", "someone@")
    with pytest.raises(GroundupError, match=r"no backup of it could be .*nothing was changed"):
        run_migrations(database_url, newer)
    assert store.conversations.folders(ada)[0].name == "before"


def test_a_newer_database_is_refused(
    store: Store, ada: str, database_url: str, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.conversations.create_folder(ada, "before")
    monkeypatch.setattr(module, "__version__", "7.5.0")
    run_migrations(database_url, newer)
    monkeypatch.setattr(module, "__version__", __version__)
    for _ in range(2):
        with pytest.raises(GroundupError) as error:
            Store(database_url)
        message = str(error.value)
        assert "was written by groundup 7.5.0 (tables 0002)" in message
        assert f"this is groundup {__version__}, which knows tables up to 0001" in message
        assert "install that version again, or put a backup" in message
        place = Path(backups(database_url)[0])
        assert (str(place.parent) if place.is_absolute() else "groundup_backup_") in message
        assert folder_names(database_url) == ["migrated"]
        # A version so new that even the history of its tables is another.
        with store._database.writing() as connection:
            connection.execute(text("DROP TABLE IF EXISTS schema_history"))
        monkeypatch.setattr(module, "_newer", _without_history(module._newer))


def _without_history(original: Callable[..., str]) -> Callable[..., str]:
    def newer(*arguments: Any) -> str:
        told = original(*arguments)
        assert "another version of groundup" in told
        return told.replace("another version of groundup", "groundup 7.5.0")

    return newer


def test_a_foreign_database_is_left_alone(database_url: str) -> None:
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE users (id INTEGER)"))
    database.close()
    with pytest.raises(GroundupError, match=r"holds tables that groundup did not make \(users\)"):
        Store(database_url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://root:hunter2@host/name", "a URL, sqlite:////absolute/path.db or postgresql://"),
        ("hunter2", "named by a URL"),
        ("", "named by a URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:relative.db", "needs a file"),
        ("postgresql://a:hunter2@host:port/name", "is not postgresql://user:password@host/name"),
        ("sqlite:////proc/no/app.db", "cannot keep the app's data in /proc/no/app.db"),
        ("postgresql://a:hunter2@127.0.0.1:1/name", "127.0.0.1/name cannot be reached"),
        ("postgresql://a:hunter2@/name?host=/nowhere", "cannot be reached"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, reason: str) -> None:
    with pytest.raises(GroundupError, match=reason) as error:
        Store(url)
    if url != "hunter2":
        assert "hunter2" not in str(error.value)


def test_the_files_are_the_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a folder? with #signs%20"
    store = Store(default_url(folder))
    store.accounts.local()
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["groundup.db", "groundup.db-shm", "groundup.db-wal"]
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    store.close()


def test_a_locked_database_says_so(store: Store, ada: str, database_url: str) -> None:
    database = Database(database_url, patience=0.2)
    impatient = Conversations(database)
    if database_url.startswith("sqlite"):
        other: Any = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        other.execute("BEGIN IMMEDIATE")
    else:
        other = psycopg.connect(database_url)
        other.execute("LOCK TABLE conversations IN EXCLUSIVE MODE")
    with closing(other):
        with pytest.raises(GroundupError, match="is locked by another process, and stayed so"):
            impatient.create(ada)
        assert not impatient.all(ada)  # reading goes on
        other.rollback()
        impatient.create(ada)
    database.close()


def test_a_lock_that_ends_in_time_is_waited_for(store: Store, ada: str, tmp_path: Path) -> None:
    if store._database.path is None:
        pytest.skip("PostgreSQL waits by itself")
    program = (
        "import sqlite3, sys, time\n"
        "file = sqlite3.connect(sys.argv[1])\n"
        "file.execute('BEGIN IMMEDIATE')\n"
        "file.execute('UPDATE conversations SET model = 1')\n"
        "print('locked', flush=True)\n"
        "time.sleep(0.5)\n"
        "file.commit()\n"
    )
    path = str(store._database.path)
    made = store.conversations.create(ada).id
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        store.conversations.rename(ada, made, "x")  # reads, then writes
    assert other.returncode == 0


def test_a_writer_that_does_not_end_is_not_waited_for(
    store: Store, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store._database.path is None:
        pytest.skip("PostgreSQL has many writers")
    monkeypatch.setattr("groundup.app.store.database.TURN", 0.1)
    with store._database.writing(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.conversations.create, ada)
        with pytest.raises(GroundupError, match=r"was busy for 0\.1 s: nothing was written"):
            waiting.result(10)
    store.conversations.create(ada)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'app.db'}")
    ada = store.accounts.add("ada", "hash", "admin").id
    conversation = store.conversations.create(ada).id

    @event.listens_for(store._database.engine, "begin")
    def fill(connection: Connection) -> None:
        size = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {size}")

    for _ in range(2):
        with pytest.raises(GroundupError, match="has no space left on its disk: nothing was writt"):
            store.messages.add(ada, conversation, parent=None, role="user", content="x" * 100_000)
    assert store.conversations.get(ada, conversation).head_id is None
    assert not store.messages.tree(ada, conversation)
    event.remove(store._database.engine, "begin", fill)
    with store._database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.messages.add(ada, conversation, parent=None, role="user", content="x" * 100_000)
    store.close()


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The system refuses the write itself: what a quota does, and a failing disk."""
    program = (
        "import os, resource, sys\n"
        "from groundup.app.store.store import Store\n"
        "from groundup.errors import GroundupError\n"
        "store = Store(sys.argv[1])\n"
        "ada = store.accounts.local().id\n"
        "held = store.conversations.create(ada, title='held').id\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    store.messages.add(ada, held, parent=None, role='user', content='x' * 1_000_000)\n"
        "except GroundupError as error:\n"
        "    print(error)\n"
        "assert not store.messages.tree(ada, held)\n"
        "store.messages.add(ada, held, parent=None, role='user', content='short')\n"
    )
    url = f"sqlite:///{tmp_path / 'app.db'}"
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout
    store = Store(url)
    ada = store.accounts.local().id
    (held,) = store.conversations.all(ada)
    assert [m.content for m in store.messages.path(ada, held.id)] == ["short"]
    store.close()


def test_a_damaged_or_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.write_text("some text that is no database" * 100)
    with pytest.raises(GroundupError, match=r"app.db is not a file of SQLite: move it away"):
        Store(f"sqlite:///{path}")
    assert path.read_text().startswith("some text")
    path.unlink()
    store = Store(f"sqlite:///{path}")
    ada = store.accounts.local().id
    for i in range(50):
        store.conversations.create(ada, title=f"{i} " * 50)
    store.close()
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(GroundupError, match="is damaged: put one of the backups"):
        Store(f"sqlite:///{path}").conversations.all(ada)


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(GroundupError, match="Permission denied"):
        Store(f"sqlite:///{tmp_path / 'app.db'}")


# Writes as the app does, and says after each write what is now on the disk.
WRITER = """
import json, sys
from pathlib import Path
from groundup.app.store.store import Store

url, archive = sys.argv[1:]
store = Store(url)
ada, bob = (a.id for a in store.accounts.all())

def say(**fact):
    print(json.dumps(fact), flush=True)

n = store.settings.get(ada, "n", 0)
conversation = store.conversations.create(ada, title=str(n)).id
say(kind="conversation", id=conversation, title=str(n))
parent = None
while True:
    n += 1
    made = store.messages.add(ada, conversation, parent=parent, role="user", content=str(n))
    say(kind="message", id=made.id, n=n)
    parent = made.id
    store.messages.update(ada, parent, content=str(n + 1) + "x" * 20_000, state="stopped")
    say(kind="message", id=made.id, n=n + 1)
    store.ratings.rate(ada, parent, 1)
    say(kind="rating", id=parent)
    store.settings.put(ada, "n", n)
    say(kind="n", n=n)
    if n % 3 == 0:
        store.archive.restore(bob, Path(archive))
        say(kind="bob", count=20)
        store.archive.wipe(bob)
        say(kind="bob", count=0)
"""


def test_kill_9_loses_nothing_acknowledged(
    store: Store, ada: str, bob: str, database_url: str, tmp_path: Path
) -> None:
    for _ in range(20):
        made = store.conversations.create(bob, title="bob's").id
        store.messages.add(bob, made, parent=None, role="user", content="y" * 5000)
    archive = tmp_path / "bob.zip"
    store.archive.export(bob, archive)
    store.archive.wipe(bob)
    titles: dict[str, str] = {}
    numbers: dict[str, int] = {}
    rated: set[str] = set()
    n = 0
    draw = random.Random(0)
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, database_url, str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            facts = [json.loads(writer.stdout.readline())]  # it has begun
            time.sleep(draw.uniform(0.05, 0.6))
            writer.send_signal(signal.SIGKILL)
            whole = (line for line in writer.stdout if line.endswith("\n"))
            facts += [json.loads(line) for line in whole]
        assert writer.returncode == -signal.SIGKILL
        count = 0
        for fact in facts:
            match fact:
                case {"kind": "conversation", "id": made, "title": title}:
                    titles[made] = title
                case {"kind": "message", "id": made, "n": number}:
                    numbers[made] = number
                case {"kind": "rating", "id": made}:
                    rated.add(made)
                case {"kind": "n", "n": number}:
                    n = number
                case {"kind": "bob", "count": number}:
                    count = number
        again = Store(database_url)
        assert again.settings.get(ada, "n", 0) in (n, n + 1)
        held = {c.id: c for c in again.conversations.all(ada)}
        found: dict[str, int] = {}
        ratings: set[str] = set()
        for conversation in held.values():
            messages = again.messages.tree(ada, conversation.id)
            found |= {m.id: int(m.content.rstrip("x")) for m in messages}
            ratings |= again.ratings.of(ada, conversation.id).keys()
            # A message and the head that it became are written together.
            assert conversation.head_id == (messages[-1].id if messages else None)
        assert {made: held[made].title for made in titles} == titles
        assert all(found[made] in (number, number + 1) for made, number in numbers.items())
        assert len(found) <= len(numbers) + 1
        assert rated <= ratings
        # An import, or a wipe, is whole: what was told last, or what was then under way.
        assert len(again.conversations.all(bob)) in (0, 20)
        bobs = [again.messages.tree(bob, c.id) for c in again.conversations.all(bob)]
        assert [len(messages) for messages in bobs] == [1] * len(bobs)
        assert count in (0, 20)
        if again._database.path is not None:
            with again._database.reading() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        # What the killed writer had begun may be there: the next one goes on from what is.
        numbers, rated, n = found, ratings, again.settings.get(ada, "n", 0)
        again.close()
    assert len(numbers) > 10
