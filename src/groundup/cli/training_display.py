"""What a training shows: a bar, the losses as a curve, and what the model writes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from groundup.training.loss_curve import draw_curve
from groundup.training.run_log import read_log

__all__ = ["TrainingDisplay", "preparation_bar"]

CURVE_HEIGHT = 8


class TrainingDisplay:
    """Live in a terminal; elsewhere a line for each evaluation."""

    def __init__(self, console: Console, folder: Path, steps: int) -> None:
        """Show a training of so many steps, whose log may have begun in ``folder``."""
        self.console = console
        self.log = read_log(folder)
        self.steps = steps
        self.written = ""
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self.task = self.bar.add_task("step", total=steps, speed="")
        self.live = Live(get_renderable=self._picture, console=console, refresh_per_second=4)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within it, the picture is live."""
        if not self.console.is_terminal:
            yield
            return
        with self.live:
            yield

    def report(self, line: Mapping[str, float]) -> None:
        """Take up a line of the log."""
        self.log.append(dict(line))
        speed = f"loss {line['loss']:.3f}  {line['tokens_per_second']:,.0f} tokens/s"
        step = int(line["step"])
        self.bar.update(
            self.task, completed=step, description=f"step {step:,} of {self.steps:,}", speed=speed
        )
        if "validation_loss" in line and not self.console.is_terminal:
            held_out = f"held out {line['validation_loss']:.4f}"
            self.console.print(
                f"step {step:,} of {self.steps:,}: {speed}, {held_out}", markup=False
            )

    def wrote(self, text: str) -> None:
        """Show what the model writes now."""
        self.written = text
        if not self.console.is_terminal:
            self.console.print(Text(text, "dim"))

    def _picture(self) -> Group:
        parts: list[Text | Panel | Progress] = []
        if self.log:
            width = min(100, self.console.width)
            losses = [line["loss"] for line in self.log]
            parts.append(Text(draw_curve(losses, width, CURVE_HEIGHT), "green"))
        held_out = [line["validation_loss"] for line in self.log if "validation_loss" in line]
        if held_out:
            parts.append(Text(f"held out {held_out[-1]:.4f}, best {min(held_out):.4f}"))
        if self.written:
            parts.append(Panel(Text(self.written), title="it writes", height=10))
        return Group(*parts, self.bar)


@contextmanager
def preparation_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far the preparation of the data is, one bar for each thing that is done."""
    with Progress(console=console, transient=True) as bar:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show
