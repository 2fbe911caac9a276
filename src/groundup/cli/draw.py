"""``groundup draw``: a formula as a computation graph."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.scratch.tensor import Tensor

__all__ = ["draw"]


def draw(
    formula: Annotated[str, typer.Argument(help="Such as 'tanh(w @ x + b)'.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Such as b=0.5 or x=[1,2]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture, an SVG file.")] = Path("graph.svg"),
) -> None:
    """Draw the computation graph of a formula, with all values and gradients.

    The gradients are those of the result, or of its sum where it is several numbers.
    """
    from groundup.atomic_write import write_text
    from groundup.course.swap import install_swaps
    from groundup.course.workspace import find_workspace

    install_swaps(find_workspace())
    from groundup.scratch.expression import evaluate
    from groundup.scratch.graph_drawing import draw_graph

    tensors = dict(_named(value) for value in values or [])
    result = evaluate(formula, tensors)
    if result.data.size > 1:
        result = result.sum()
    if result.requires_grad:
        result.backward(keep=True)
    try:
        write_text(out, draw_graph(result, tensors))
    except OSError as error:
        raise GroundupError(f"{out} cannot be written: {error.strerror}") from None
    for name, tensor in tensors.items():
        if tensor.grad is not None:
            typer.echo(f"d/d{name} = {json.dumps(tensor.grad.tolist())}")
    typer.echo(f"{result.item():g} in {out}")


def _named(text: str) -> "tuple[str, Tensor]":
    import numpy as np

    from groundup.scratch.tensor import Tensor

    name, sign, value = text.partition("=")
    try:
        if not sign or not name.isidentifier():
            raise ValueError
        data = np.array(json.loads(value), np.float64)
    except (ValueError, TypeError):
        raise GroundupError(
            f"{text!r} is not a value: expected NAME=NUMBER, or NAME=[NUMBER,…]"
        ) from None
    return name, Tensor(data, requires_grad=True)
