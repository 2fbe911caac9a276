"""``groundup train``: from data to a trained network."""

import typer

__all__ = ["train_app"]

train_app = typer.Typer(help="Train a network from nothing.", no_args_is_help=True)


@train_app.callback()
def train() -> None:
    """Train a network from nothing."""
