"""``groundup train``: from data to a trained network."""

import typer

from groundup.cli.train_gpt import gpt

__all__ = ["train_app"]

train_app = typer.Typer(help="Train a network from nothing.", no_args_is_help=True)


@train_app.callback()
def train() -> None:
    """Train a network from nothing."""


train_app.command()(gpt)
