"""What a training came to, as PNG pictures."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.atomic_write import write_bytes
from groundup.errors import GroundupError
from groundup.scratch.tensor import Array
from groundup.scratch.trainer import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_confusion", "draw_losses", "draw_misclassified", "new_figure"]

SHOWN = 40  # misclassified images, the most certain mistakes first


def new_figure(width: float, height: float) -> "Figure":
    """A figure that needs no display.

    Raises:
        GroundupError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise GroundupError(
            "the pictures need matplotlib, which is not installed: pip install 'groundup[train]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def draw_losses(path: Path, losses: Sequence[float], epochs: Sequence[Epoch]) -> None:
    """The loss of every step and its running mean, and of each epoch on the test images."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    window = max(1, len(losses) // 100)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.8)
    axes.plot(steps[window - 1 :], smooth, color="tab:blue", label=f"training, {window} steps")
    ends = np.arange(1, len(epochs) + 1) * (len(losses) // len(epochs))
    axes.plot(ends, [epoch.test_loss for epoch in epochs], "o-", color="tab:orange", label="test")
    axes.set(xlabel="step", ylabel="cross-entropy (nats)", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def draw_confusion(path: Path, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """How many of each class, in rows, were taken for each, in columns."""
    figure = new_figure(7, 6.5)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="taken for", ylabel="is")
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    _save(figure, path)


def draw_misclassified(
    path: Path,
    images: Array,
    labels: NDArray[np.int64],
    logits: Array,
    classes: Sequence[str],
) -> None:
    """The images that were taken for something else with the greatest certainty."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    certainty = 1 / shifted.sum(axis=1)  # of the highest score, which shifted to exp(0)
    predicted = logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:SHOWN]
    columns = 8
    rows = max(1, -(-len(worst) // columns))
    figure = new_figure(1.5 * columns, 1.9 * rows)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, worst, strict=False):
        axes.imshow(images[index, 0], cmap="gray")
        title = f"{classes[predicted[index]]} {certainty[index]:.0%}\nis {classes[labels[index]]}"
        axes.set_title(title, fontsize=8)
    if not len(wrong):
        figure.suptitle("every test image was recognised")
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_bytes(path, content.getvalue())
