"""``groundup merge``: an adapter becomes part of its model, which then stands by itself."""

from pathlib import Path
from typing import Annotated

import typer

from groundup.errors import GroundupError

__all__ = ["merge"]


def merge(
    adapter: Annotated[Path, typer.Argument(help="The adapter's folder: LoRA, DoRA or (IA)³.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to be made.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Its base.", show_default="what the adapter names"),
    ] = None,
) -> None:
    """Write a model with an adapter in its matrices: it then stands by itself."""
    from groundup.models.load import load_language_model
    from groundup.models.locate import locate
    from groundup.models.peft_folder import read_peft_config
    from groundup.tuning.adapter_folder import load_adapter
    from groundup.tuning.model_folder import save_model_folder

    if out.exists():
        raise GroundupError(f"{out} is there already: name a folder that is not")
    base = model or read_peft_config(adapter).get("base_model_name_or_path")
    if not base:
        raise GroundupError(f"{adapter} does not say what its base is: name it with --model")
    adapted = load_adapter(adapter, load_language_model(base)[0])
    merged = adapted.merge()
    save_model_folder(merged, locate(base), out)  # type: ignore[arg-type]  # no T5 was loaded
    typer.echo(f"{out}: {base} with {adapter}; groundup chat --model {out}")
