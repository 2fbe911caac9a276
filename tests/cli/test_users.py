"""``groundup users`` and what ``groundup up`` asks of accounts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from groundup.app.passwords import user_with_password
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from groundup.cli import main

PASSWORD = "correct horse battery"


@pytest.fixture
def run(
    own_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Runs a command with a line at its standard input; gives the status and what it said."""

    def command(*arguments: str, line: str = "") -> tuple[int, str]:
        reading, writing = os.pipe()
        os.write(writing, f"{line}\n".encode())
        os.close(writing)
        with os.fdopen(reading) as file:
            monkeypatch.setattr(sys, "stdin", file)
            with pytest.raises(SystemExit) as status:
                main(arguments)
        said = capsys.readouterr()
        return int(status.value.code or 0), said.out + said.err

    return command


@pytest.fixture
def store(own_home: Path) -> Iterator[Store]:
    made = Store(default_url(own_home / "app"))
    yield made
    made.close()


def test_accounts_come_and_go(run: Callable[..., tuple[int, str]], store: Store) -> None:
    assert "There are no accounts. groundup users add NAME" in run("users")[1]
    assert run("users", "add", "Ada", line=PASSWORD) == (0, "ada can sign in, as admin.\n")
    assert run("users", "add", "bob", line=PASSWORD) == (0, "bob can sign in, as member.\n")
    assert [(u.name, u.role) for u in store.accounts.all()] == [("ada", "admin"), ("bob", "member")]
    assert user_with_password(store, "ada", PASSWORD) is not None
    status, said = run("users", "list")
    assert status == 0
    for word in ("ada", "admin", "bob", "member"):
        assert word in said
    assert PASSWORD not in said
    assert "argon" not in said
    bob = store.accounts.all()[1].id
    token = store.sessions.start(bob, "browser")
    assert run("users", "password", "bob", line="another password")[0] == 0
    assert store.sessions.find(token) is None
    assert user_with_password(store, "bob", PASSWORD) is None
    assert user_with_password(store, "bob", "another password") is not None
    assert run("users", "remove", "bob", line="n")[0] == 1
    assert len(store.accounts.all()) == 2
    assert run("users", "remove", "bob", line="y")[0] == 0
    assert run("users", "remove", "ada", "--yes")[0] == 0
    assert not store.accounts.all()


def test_mistakes_are_told(run: Callable[..., tuple[int, str]], store: Store) -> None:
    assert run("users", "add", "ada", line=PASSWORD)[0] == 0
    for arguments, line, reason in (
        (("add", "ada"), PASSWORD, "there is an account 'ada': groundup users password changes it"),
        (("add", "a b"), PASSWORD, "an account's name is"),
        (("add", "bob"), "short", "a password has 10 to 1000 characters, got 5"),
        (("add", "bob"), "", "a password has 10 to 1000 characters, got 0"),
        (("password", "bob"), PASSWORD, "there is no account 'bob': groundup users list"),
        (("password", "ada"), "ada", "a password has"),
        (("remove", "bob", "--yes"), "", "there is no account 'bob'"),
        (("list", "--database", "mysql://x"), "", "the database is named by a URL"),
    ):
        status, said = run("users", *arguments, line=line)
        assert status == 1
        assert said.startswith("groundup: ")
        assert reason in said
        assert said.count("\n") == 1
    assert [u.name for u in store.accounts.all()] == ["ada"]


def test_a_password_is_asked_for_twice(own_home: Path) -> None:
    command = [sys.executable, "-m", "groundup", "users", "add", "ada"]
    terminal = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=60)
    terminal.expect("Password: ")
    terminal.sendline(PASSWORD)
    terminal.expect("Repeat for confirmation: ")
    terminal.sendline(PASSWORD)
    terminal.expect(r"ada can sign in, as admin\.")
    terminal.expect(pexpect.EOF)
    assert PASSWORD not in (terminal.before or "")  # not echoed
    terminal.close()
    assert terminal.exitstatus == 0


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--host", "::"), ("--sign-in",)])
def test_nobody_else_gets_in_without_an_account(
    run: Callable[..., tuple[int, str]], options: tuple[str, ...]
) -> None:
    status, said = run("up", "--no-open", *options)
    assert status == 1
    assert "there is no account to sign in with" in said
    assert "groundup users add NAME" in said


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys\nfrom groundup.cli import main\n"
        "try:\n    main(['users', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'sqlalchemy', 'argon2', 'alembic', 'nicegui'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.endswith("[]\n")
