"""``groundup draw``: a formula as a computation graph."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.course.swap import Swaps
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
    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    picture, summary = _drawn(formula, values or [], install_swaps(find_swaps(find_workspace())))
    try:
        write_text(out, picture)
    except OSError as error:
        raise GroundupError(f"{out} cannot be written: {error.strerror}") from None
    typer.echo(f"{summary} in {out}")


def _drawn(formula: str, values: list[str], swaps: "Swaps") -> tuple[str, str]:
    """The picture, and its gradients and result as text; on the reference where a part fails."""
    from groundup.scratch.expression import evaluate
    from groundup.scratch.graph_drawing import draw_graph

    try:
        tensors = dict(_named(value) for value in values)
        result = evaluate(formula, tensors)
        if result.data.size > 1:
            result = result.sum()
        if result.requires_grad:
            result.backward(keep=True)
        picture = draw_graph(result, tensors)
    except GroundupError:
        raise
    except Exception as error:  # perhaps of a learner's part
        if not swaps.blame(error):
            raise
        return _drawn(formula, values, swaps)
    for problem in swaps.problems:
        typer.echo(problem, err=True)
    slopes = [
        f"d/d{name} = {json.dumps(tensor.grad.tolist())}\n"
        for name, tensor in tensors.items()
        if tensor.grad is not None
    ]
    return picture, f"{''.join(slopes)}{result.item():g}"


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
