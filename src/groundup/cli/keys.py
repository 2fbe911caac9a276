"""``groundup keys``: API keys with limits and budgets, for serve and gateway."""

from pathlib import Path
from typing import Annotated

import typer

from groundup.errors import GroundupError

__all__ = ["keys_app"]

keys_app = typer.Typer(help="Make and revoke API keys.", invoke_without_command=True)

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", help="The file of keys.", show_default="keys.toml in groundup's cache folder"
    ),
]


@keys_app.callback()
def keys(context: typer.Context) -> None:
    """Make and revoke API keys."""
    if context.invoked_subcommand is None:
        list_keys()


@keys_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is: letters, digits, - and _.")],
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="How fast requests may come.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="How fast tokens may be used, prompts included.")
    ] = None,
    request_budget: Annotated[
        int | None, typer.Option(min=1, help="Requests in each period.")
    ] = None,
    token_budget: Annotated[int | None, typer.Option(min=1, help="Tokens in each period.")] = None,
    period: Annotated[
        str, typer.Option(help="Of the budgets: day or month, in UTC, or total.")
    ] = "month",
    file: FileOption = None,
) -> None:
    """Make a key and show it, once; the file keeps its hash alone."""
    if period not in ("day", "month", "total"):
        raise GroundupError(f"--period: got {period!r}, expected day, month or total")
    from datetime import UTC, datetime

    from filelock import FileLock

    check_installed()
    from groundup.serving.api_keys import (
        ApiKey,
        default_key_file,
        new_key,
        read_keys,
        write_keys,
    )

    path = file or default_key_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=30):
        known = read_keys(path) if path.exists() else {}
        if name in known:
            raise GroundupError(
                f"there is a key {name!r} in {path}: groundup keys remove {name} revokes it"
            )
        key, digest = new_key()
        known[name] = ApiKey(
            digest,
            requests_per_minute,
            tokens_per_minute,
            request_budget,
            token_budget,
            period,
            datetime.now(UTC).date().isoformat(),
        )
        write_keys(path, known)
    typer.echo(f"The key of {name}, which is not shown again:", err=True)
    typer.echo(key)


@keys_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whose key is revoked.")], file: FileOption = None
) -> None:
    """Revoke a key; servers that run refuse it within a second or two."""
    from filelock import FileLock

    check_installed()
    from groundup.serving.api_keys import default_key_file, read_keys, write_keys

    path = file or default_key_file()
    if not path.exists():
        raise GroundupError(f"there are no keys: {path} does not exist")
    with FileLock(f"{path}.lock", timeout=30):
        known = read_keys(path)
        if known.pop(name, None) is None:
            raise GroundupError(f"there is no key {name!r} in {path}, expected one of {[*known]}")
        write_keys(path, known)


@keys_app.command("list")
def list_keys(file: FileOption = None) -> None:
    """Show the keys' names, limits, and what each has used of its budgets on this machine."""
    import asyncio

    from rich.console import Console
    from rich.table import Table

    check_installed()
    from groundup.serving.api_keys import default_key_file, read_keys
    from groundup.serving.budget_ledger import BudgetLedger
    from groundup.serving.budgets import Budgets
    from groundup.serving.intake_config import ledger_file

    path = file or default_key_file()
    if not path.exists():
        typer.echo("There are no keys. groundup keys add NAME makes one.")
        return
    known = read_keys(path)
    budgets = Budgets(BudgetLedger(ledger_file()))

    async def load() -> None:
        await budgets.load(known.values())
        await budgets.close()

    asyncio.run(load())
    table = Table("key", "requests/min", "tokens/min", "requests used", "tokens used", "period")
    for name, key in known.items():
        used = budgets.used(key)
        table.add_row(
            name,
            shown(key.requests_per_minute),
            shown(key.tokens_per_minute),
            f"{used.requests:,} of {shown(key.request_budget)}",
            f"{used.tokens:,} of {shown(key.token_budget)}",
            key.period,
        )
    Console().print(table)


def shown(limit: int | None) -> str:
    return "any" if limit is None else f"{limit:,}"


def check_installed() -> None:
    """Raises: GroundupError: the extra ``serve`` is not installed."""
    try:
        import msgspec  # noqa: F401
    except ModuleNotFoundError:
        raise GroundupError(
            "keys need msgspec, which is not installed: pip install 'groundup[serve]'"
        ) from None
