"""The command line. A command imports what it needs when it runs: start-up stays short."""

import sys
from collections.abc import Sequence

import typer

from groundup import __version__
from groundup.cli.chat import chat
from groundup.cli.course import course_commands
from groundup.cli.deploy import deploy_app
from groundup.cli.draw import draw
from groundup.cli.eval import evaluate_command
from groundup.cli.gateway import gateway
from groundup.cli.keys import keys_app
from groundup.cli.merge import merge
from groundup.cli.models import models_app
from groundup.cli.quantize import quantize
from groundup.cli.serve import serve
from groundup.cli.tokenizer import tokenizer_app
from groundup.cli.train import train_app
from groundup.cli.tune import tune
from groundup.cli.up import up
from groundup.cli.users import users_app
from groundup.errors import GroundupError

__all__ = ["main"]

app = typer.Typer(
    help="An AI engineer's whole stack, built from the ground up, and then rebuilt by you.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"groundup {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """An AI engineer's whole stack, built from the ground up, and then rebuilt by you."""


app.command(rich_help_panel="Use it")(up)
app.command(rich_help_panel="Use it")(chat)
app.command(rich_help_panel="Use it")(serve)
app.add_typer(deploy_app, name="deploy", rich_help_panel="Use it")
app.command(rich_help_panel="Use it")(gateway)
app.add_typer(keys_app, name="keys", rich_help_panel="Use it")
app.command("eval", rich_help_panel="Use it")(evaluate_command)
app.add_typer(models_app, name="models", rich_help_panel="Use it")
app.add_typer(users_app, name="users", rich_help_panel="Use it")
app.add_typer(tokenizer_app, name="tokenizer", rich_help_panel="Train")
app.add_typer(train_app, name="train", rich_help_panel="Train")
app.command(rich_help_panel="Train")(tune)
app.command(rich_help_panel="Train")(merge)
app.command(rich_help_panel="Train")(quantize)
app.command(rich_help_panel="Train")(draw)
for name, command in course_commands.items():
    app.command(name, rich_help_panel="Build it yourself")(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error that the user can mend is one line and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Unicode still shows text
    try:
        app(args=arguments)
    except GroundupError as error:
        print(f"groundup: {error}", file=sys.stderr)
        sys.exit(1)
