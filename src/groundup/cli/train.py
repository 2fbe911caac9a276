"""``groundup train``: from data to a trained network."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.train_gpt import gpt
from groundup.cli.train_talker import talker
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.scratch.image_data import ImageData
    from groundup.scratch.trainer import Trainer

__all__ = ["train_app"]

train_app = typer.Typer(help="Train a network from nothing.", no_args_is_help=True)

CHECKPOINT = "checkpoint.safetensors"
WEIGHT_DECAY = 0.01


@train_app.callback()
def train() -> None:
    """Train a network from nothing."""


class Network(StrEnum):
    """The networks of ``groundup.scratch.networks``."""

    mlp = "mlp"
    cnn = "cnn"


ModelOption = Annotated[
    Network, typer.Option("--model", help="A multilayer perceptron or a convolutional network.")
]
Epochs = Annotated[int, typer.Option(min=1, help="How often each image is seen.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images in each step.")]
LearningRate = Annotated[
    float, typer.Option(help="At its peak: it rises for a twentieth of the steps, then falls.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the first weights and the images' order.")]
Out = Annotated[
    Path | None,
    typer.Option(help="A folder for the checkpoint and the pictures.", show_default="DATA-MODEL"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever is there.")]


@train_app.command()
def digits(
    model: ModelOption = Network.mlp,
    epochs: Epochs = 20,
    batch_size: BatchSize = 32,
    learning_rate: LearningRate = 1e-3,
    seed: Seed = 0,
    out: Out = None,
    overwrite: Overwrite = False,
) -> None:
    """Handwritten digits of 8×8 pixels (scikit-learn's), in NumPy: some seconds.

    The same command again goes on where it was stopped.
    """
    run = _Run("digits", None, model, epochs, batch_size, learning_rate, seed)
    _train(run, out, overwrite)


@train_app.command()
def fashion(
    model: ModelOption = Network.mlp,
    epochs: Epochs = 10,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 1e-3,
    seed: Seed = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the four .gz files.",
            show_default="where Debian's dataset-fashion-mnist puts them",
        ),
    ] = None,
) -> None:
    """Clothes of 28×28 pixels (Fashion-MNIST), in NumPy: a minute, or some for --model cnn.

    The same command again goes on where it was stopped.
    """
    run = _Run("fashion", data, model, epochs, batch_size, learning_rate, seed)
    _train(run, out, overwrite)


class _Run:
    """The settings of one training, and what they make."""

    def __init__(
        self,
        name: str,
        folder: Path | None,
        model: Network,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        if not learning_rate > 0:
            raise GroundupError(f"--learning-rate is {learning_rate}: expected more than 0")
        self.name, self.folder, self.model, self.peak = name, folder, model, learning_rate
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed

    @property
    def settings(self) -> dict[str, int | float | str]:
        """With others than these it would be another training."""
        return {
            "data": self.name,
            "model": self.model.value,
            "epochs": self.epochs,
            "batch-size": self.batch_size,
            "learning-rate": self.peak,
            "seed": self.seed,
        }

    def trainer(self) -> "Trainer":
        """Everything as it is before the first step."""
        import numpy as np

        from groundup.scratch import image_data, networks
        from groundup.scratch.adamw import AdamW
        from groundup.scratch.trainer import Trainer

        if self.name == "digits":
            data = image_data.digits()
        else:
            data = image_data.fashion(self.folder or image_data.FASHION_FOLDER)
        build = {
            Network.mlp: networks.multilayer_perceptron,
            Network.cnn: networks.convolutional,
        }[self.model]
        network = build(data.images.shape[-1], len(data.classes), np.random.default_rng(self.seed))
        return Trainer(
            network,
            AdamW(network.parameters(), self.peak, weight_decay=WEIGHT_DECAY),
            data,
            epochs=self.epochs,
            batch_size=min(self.batch_size, len(data.images)),
            seed=self.seed,
            schedule=self._rate,
        )

    def _rate(self, step: int, steps: int) -> float:
        from groundup.training.cosine_schedule import cosine_schedule

        return cosine_schedule(step, steps=steps, warmup=steps // 20, peak=self.peak)


def _train(run: _Run, out: Path | None, overwrite: bool) -> None:
    from rich.console import Console

    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    folder = out or Path(f"{run.name}-{run.model.value}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if overwrite:
            (folder / CHECKPOINT).unlink(missing_ok=True)
    except OSError as error:
        raise GroundupError(f"the folder {folder} cannot be used: {error.strerror}") from None
    console = Console(highlight=False, soft_wrap=True)
    swaps = install_swaps(find_swaps(find_workspace()))
    while True:
        if swaps.parts:
            names = ", ".join(part.id for part in swaps.parts)
            console.print(f"[green]running on your own: {names}[/]")
        for problem in swaps.problems:
            console.print(problem, style="red", markup=False)
        swaps.problems.clear()
        try:
            _train_and_show(run, folder, console)
            return
        except KeyboardInterrupt:
            console.print("Interrupted. The same command goes on after the last whole epoch.")
            raise typer.Exit(130) from None
        except GroundupError:
            raise
        except OSError as error:
            raise GroundupError(
                f"{folder} cannot be written: {error.strerror}. Its checkpoint is as it was"
            ) from None
        except Exception as error:  # perhaps of a learner's part
            if not swaps.blame(error):
                raise


def _train_and_show(run: _Run, folder: Path, console: "Console") -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from groundup.scratch.checkpoint import load_checkpoint, save_checkpoint
    from groundup.scratch.pictures import new_figure

    new_figure(1, 1)  # that matplotlib is missing is better told before than after
    trainer = run.trainer()
    if (folder / CHECKPOINT).exists():
        trainer.load_state(load_checkpoint(folder / CHECKPOINT, run.settings))
        console.print(f"going on after epoch {len(trainer.epochs_done)} of {run.epochs}")
    weights = sum(parameter.data.size for parameter in trainer.network.parameters())
    console.print(
        f"{run.model.value} of {weights:,} parameters on {len(trainer.data.images):,} images of "
        f"{run.name}, {run.epochs} epochs"
    )
    start = time.perf_counter()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps  loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(
            "training",
            total=run.epochs * trainer.steps_each,
            completed=len(trainer.losses),
            loss=trainer.losses[-1] if trainer.losses else float("nan"),
        )
        while len(trainer.epochs_done) < run.epochs:
            for loss in trainer.train_epoch():
                progress.update(task, advance=1, loss=loss)
            save_checkpoint(folder / CHECKPOINT, trainer.state(), run.settings)
            done = trainer.epochs_done[-1]
            console.print(
                f"epoch {done.number:3}   training loss {done.train_loss:.4f}   test loss "
                f"{done.test_loss:.4f}   test accuracy {done.test_accuracy:.2%}"
            )
    _show(trainer, folder, time.perf_counter() - start, console)


def _show(trainer: "Trainer", folder: Path, seconds: float, console: "Console") -> None:
    """Draw what came of it, and say the worst confusion."""
    import numpy as np

    from groundup.scratch import pictures
    from groundup.scratch.evaluation import confusion_matrix, logits_of

    data: ImageData = trainer.data
    logits = logits_of(trainer.network, data.test_images)
    predicted = logits.argmax(axis=1)
    counts = confusion_matrix(data.test_labels, predicted, len(data.classes))
    pictures.draw_losses(folder / "loss.png", trainer.losses, trainer.epochs_done)
    pictures.draw_confusion(folder / "confusion.png", counts, data.classes)
    pictures.draw_misclassified(
        folder / "misclassified.png", data.test_images, data.test_labels, logits, data.classes
    )
    right = int(counts.trace())
    console.print(
        f"[bold]{right:,} of {counts.sum():,} test images are recognised: "
        f"{right / counts.sum():.2%}[/], after {seconds:.0f} s"
    )
    mistakes = counts - np.diag(np.diag(counts))
    if mistakes.any():
        row, column = np.unravel_index(mistakes.argmax(), mistakes.shape)
        console.print(
            f"most often, a {data.classes[row]} is taken for a {data.classes[column]} "
            f"({mistakes.max()} times)"
        )
    console.print(f"{folder}: {CHECKPOINT}, loss.png, confusion.png, misclassified.png")


train_app.command()(gpt)
train_app.command()(talker)
