"""A training's losses as a curve: in the terminal, and in a file."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from groundup.errors import GroundupError

__all__ = ["draw_curve", "save_plot"]

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille cell, by row, column


def draw_curve(values: Sequence[float], width: int, height: int) -> str:
    """A curve in Braille dots, two by four in a character, with its range at the left.

    Where there are more values than columns, a column shows the mean of its share. The vertical
    axis is logarithmic: a loss falls fast, then slowly.

    Args:
        values: at least one, all positive; in order.
        width, height: in characters, the labels included.
    """
    columns = 2 * max(1, width - 7)
    count = min(columns, len(values))
    borders = [i * len(values) // count for i in range(count + 1)]
    means = [math.log(sum(values[a:b]) / (b - a)) for a, b in pairwise(borders)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    cells = [[0] * ((count + 1) // 2) for _ in range(height)]
    before = 0
    for column, mean in enumerate(means):
        row = round((high - mean) / span * (4 * height - 1))
        # A steep fall is drawn through, so that the curve does not break into points.
        for y in range(min(before + 1, row) if column else row, row + 1):
            cells[y // 4][column // 2] |= DOTS[y % 4][column % 2]
        before = row
    labels = [f"{math.exp(high):6.3f}", *[" " * 6] * (height - 2), f"{math.exp(low):6.3f}"]
    rows = ["".join(chr(0x2800 + dots) for dots in line) for line in cells]
    return "\n".join(f"{a} {b}" for a, b in zip(labels[-height:], rows, strict=True))


def save_plot(
    log: Sequence[Mapping[str, float]], path: Path, title: str, *, measured: str = "loss"
) -> None:
    """Draw the losses of a log's lines over its steps, and write it as SVG or PNG.

    ``measured`` is the entry of a line that is drawn: ``loss``, or ``reward``.

    Raises:
        GroundupError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise GroundupError("plots need matplotlib: pip install 'groundup[train]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [x["step"] for x in log], [x[measured] for x in log], lw=0.6, alpha=0.5, label="batch"
    )
    held_out = [line for line in log if "validation_loss" in line]
    axes.plot(
        [line["step"] for line in held_out],
        [line["validation_loss"] for line in held_out],
        marker="o",
        ms=3,
        label="held out",
    )
    label = "loss, nats a token" if measured == "loss" else f"mean {measured}"
    axes.set(xlabel="step", ylabel=label, title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    temporary = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), metadata={"Date": None})
        temporary.replace(path)
    except OSError as error:
        raise GroundupError(f"cannot write the plot {path}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
