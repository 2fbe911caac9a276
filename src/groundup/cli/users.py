"""``groundup users``: accounts of the app, for those who sign in."""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundup.cli.serve import check_installed
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from groundup.app.store.store import Store

__all__ = ["users_app"]

users_app = typer.Typer(help="Make and remove accounts of the app.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The account's name.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="GROUNDUP_DATABASE",
        help="Where the app keeps its data, as of groundup up.",
        show_default="a file in groundup's folder",
    ),
]


@users_app.callback()
def users(context: typer.Context) -> None:
    """Make and remove accounts of the app."""
    if context.invoked_subcommand is None:
        list_users()


@users_app.command()
def add(
    name: Annotated[str, typer.Argument(help="1 to 64 letters a-z, digits, '.', '_' and '-'.")],
    role: Annotated[
        Literal["admin", "member"] | None,
        typer.Option(
            help="Admins manage accounts, endpoints and limits.",
            show_default="admin for the first account, else member",
        ),
    ] = None,
    database: DatabaseOption = None,
) -> None:
    """Make an account. The password is asked for, or read from a pipe: one line."""
    with opened_store(database) as store:
        from groundup.app.passwords import checked_password, hash_password
        from groundup.app.store.accounts import account_name

        known = {user.name for user in store.accounts.all()}
        name = account_name(name)
        if name in known:
            raise GroundupError(f"there is an account {name!r}: groundup users password changes it")
        chosen: Literal["admin", "member"] = role or ("member" if known else "admin")
        user = store.accounts.add(
            name, hash_password(checked_password(read_password(), name)), chosen
        )
        typer.echo(f"{user.name} can sign in, as {user.role}.", err=True)


@users_app.command("list")
def list_users(database: DatabaseOption = None) -> None:
    """Show the accounts."""
    with opened_store(database) as store:
        from datetime import UTC, datetime

        from rich.console import Console
        from rich.table import Table

        accounts = store.accounts.all()
        if not accounts:
            typer.echo("There are no accounts. groundup users add NAME makes one.")
            return
        table = Table("account", "role", "since")
        for user in accounts:
            since = datetime.fromtimestamp(user.created, UTC).date().isoformat()
            table.add_row(user.name, user.role, since)
        Console().print(table)


@users_app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database: DatabaseOption = None,
) -> None:
    """Remove an account with its conversations, ratings and settings, for good."""
    with opened_store(database) as store:
        if not yes and not typer.confirm(f"Delete {name} and everything that {name} has?"):
            raise typer.Exit(1)
        store.accounts.remove(name)


@users_app.command()
def password(name: Name, database: DatabaseOption = None) -> None:
    """Give an account another password, and end its sessions."""
    with opened_store(database) as store:
        from groundup.app.passwords import checked_password, hash_password

        if store.accounts.password_hash(name) is None:  # before anything is typed
            raise GroundupError(f"there is no account {name!r}: groundup users list shows them")
        hashed = hash_password(checked_password(read_password(), name))
        user = store.accounts.set_password_hash(name, hashed)
        store.sessions.end_all(user.id)


def read_password() -> str:
    """Ask for a new password, twice; or read it from a pipe."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline(4096).rstrip("\r\n")


@contextmanager
def opened_store(database: str | None) -> "Iterator[Store]":
    """The app's data."""
    check_installed("alembic", "argon2", "sqlalchemy", extra="app")
    from groundup.app.store.database import default_url
    from groundup.app.store.store import Store
    from groundup.home import home

    store = Store(database or default_url(home() / "app"))
    try:
        yield store
    finally:
        store.close()
