"""What a test has started; databases: a file of SQLite, and PostgreSQL where it is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from groundup.app.store.store import Store


@pytest.fixture
def started() -> Callable[[str], list[psutil.Process]]:
    """Lists the processes that run and that this test started, with this word in their command.

    Those of an earlier test, or of a fixture that several share, are not among them, nor are the
    children they start meanwhile.
    """
    before = set(psutil.Process().children())

    def listed(word: str) -> list[psutil.Process]:
        running = []
        for child in set(psutil.Process().children()) - before:
            with suppress(psutil.NoSuchProcess):  # a zombie counts as one
                for process in (child, *child.children(recursive=True)):
                    if word in " ".join(process.cmdline()):
                        running.append(process)
        return running

    return listed


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database in a cluster of this run alone."""
    folder = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    data = Path(tempfile.mkdtemp(prefix="gu-pg-"))
    if user:
        shutil.chown(data, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [f"{folder}/{program}", "-D", f"{data}/db", *arguments],
            check=True,
            user=user,
            cwd=data,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    try:
        run(
            "initdb", "-U", "groundup", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )
        options = f"-k {data} -c listen_addresses='' -c fsync=off -c shared_buffers=16MB"
        run("pg_ctl", "start", "-w", "-t", "60", "-l", f"{data}/log", "-o", options)
        try:
            yield f"postgresql://groundup@/postgres?host={data}"
        finally:
            run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(data)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app' / 'groundup.db'}"
    url: str = request.getfixturevalue("postgresql")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        # A database of its own for each test would be 8 MB to copy, and to delete.
        ours = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"
        for (schema,) in connection.execute(ours).fetchall():
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def open_store(database_url: str) -> Iterator[Callable[[], Store]]:
    """Opens the test's database (again)."""
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(Store(database_url))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture
def ada(store: Store) -> str:
    """The id of a user."""
    return store.accounts.add("ada", "hash", "admin").id


@pytest.fixture
def bob(store: Store) -> str:
    """The id of another."""
    return store.accounts.add("bob", "hash", "member").id
