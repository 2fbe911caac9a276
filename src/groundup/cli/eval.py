"""``groundup eval``: measure a model, or two of them on the same questions."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.evaluation.record import Record
    from groundup.evaluation.subject import Subject
    from groundup.evaluation.summary import Comparison, Estimate
    from groundup.evaluation.task import Task

__all__ = ["TaskName", "evaluate_command"]

SHOWN = 3  # samples side by side


class TaskName(StrEnum):
    """What can be measured."""

    perplexity = "perplexity"
    multiple_choice = "multiple_choice"
    exact_match = "exact_match"
    gsm8k = "gsm8k"
    human_eval = "human_eval"


def evaluate_command(
    model: Annotated[
        str, typer.Argument(help="A packaged model, a GGUF file, a folder, a hub id.")
    ],
    task: Annotated[list[TaskName], typer.Option(help="What to measure; may be given again.")],
    data: Annotated[
        Path | None, typer.Option(help="The task's file; human_eval brings its own.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model, to compare with on the same items.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="An adapter's folder, as tune or peft saves it, for MODEL.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items.")] = None,
    shots: Annotated[
        int, typer.Option(min=0, help="gsm8k: worked examples shown before, from the file's first.")
    ] = 0,
    samples: Annotated[
        int, typer.Option(min=1, help="human_eval: answers to each problem, for pass@10.")
    ] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="human_eval: of the samples.")] = 0.0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of one answer.", show_default="the task's")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(min=2, help="perplexity: tokens of a window.", show_default="up to 1024"),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="perplexity: between windows.", show_default="half of it"),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Ask in plain text, without the chat template.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    out: Annotated[Path, typer.Option(help="Where every answer is kept.")] = Path("evaluation"),
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
    unconfined: Annotated[
        bool,
        typer.Option(
            "--unconfined",
            help="human_eval: run the model's programs without confinement, where the system "
            "has none. Only on a machine that you can lose.",
        ),
    ] = False,
) -> None:
    """Measure a model, or two on the same items, with 95 % intervals.

    Every answer is kept in --out; the same command goes on where it was stopped.
    """
    from rich.console import Console

    messages = Console(stderr=True, highlight=False)
    if dtype not in ("auto", "float32", "bfloat16"):
        raise GroundupError(f"--dtype is {dtype!r}: expected auto, float32 or bfloat16")
    needing = [name for name in task if name != TaskName.human_eval]
    if needing and data is None:
        raise GroundupError(f"the task {needing[0]} needs a file: give --data FILE")
    if data is not None and not data.is_file():
        raise GroundupError(f"there is no file {data}")

    def make(name: TaskName) -> "Task":
        from groundup.evaluation.gsm8k import gsm8k
        from groundup.evaluation.human_eval import human_eval
        from groundup.evaluation.multiple_choice import MultipleChoice
        from groundup.evaluation.short_answers import short_answers
        from groundup.evaluation.text_perplexity import TextPerplexity

        chat = not plain
        if name == TaskName.human_eval:
            return human_eval(
                limit=limit,
                samples=samples,
                temperature=temperature,
                max_tokens=max_tokens or 400,
                seed=seed,
                chat=chat,
                confined=not unconfined,
            )
        assert data is not None
        if name == TaskName.perplexity:
            return TextPerplexity(data, context, stride, limit)
        if name == TaskName.multiple_choice:
            return MultipleChoice(data, limit)
        if name == TaskName.exact_match:
            return short_answers(data, limit=limit, max_tokens=max_tokens or 64, chat=chat)
        return gsm8k(data, limit=limit, shots=shots, max_tokens=max_tokens or 320, chat=chat)

    with messages.status("starting"):
        import torch

        from groundup.evaluation.subject import load_subject
        from groundup.models.locate import locate

        tasks = [make(name) for name in dict.fromkeys(task)]
    wanted = None if dtype == "auto" else getattr(torch, dtype)
    answers: list[list[list[Record]]] = []
    names: list[str] = []
    try:
        for source, folder in ((against, None), (model, adapter)):
            if source is None:
                continue
            path = locate(source)  # a model that has to be fetched shows its own progress
            with messages.status(f"loading {source}"):
                subject = load_subject(str(path), adapter=folder, dtype=wanted)
            names.append(source if folder is None else f"{source}+{folder.name}")
            answers.append([_run(subject, each, out, messages) for each in tasks])
    except KeyboardInterrupt:
        messages.print("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    _show(tasks, names, answers, as_json)


def _run(subject: "Subject", task: "Task", out: Path, messages: "Console") -> "list[Record]":
    from groundup.evaluation.task import evaluate

    with _bar(messages, f"{subject.name}, {task.name}") as report:
        records, path = evaluate(subject, task, out, report)
    messages.print(f"{len(records)} answers in {path}", style="dim", markup=False)
    return records


@contextmanager
def _bar(console: "Console", what: str) -> "Iterator[Callable[[int, int], None]]":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), console=console, transient=True,
    ) as bar:  # fmt: skip
        row = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def _show(
    tasks: "Sequence[Task]",
    names: Sequence[str],
    answers: "Sequence[Sequence[Sequence[Record]]]",
    as_json: bool,
) -> None:
    from groundup.evaluation.summary import compare, estimate

    figures: list[Estimate | Comparison] = []
    for place, task in enumerate(tasks):
        if len(names) == 2:
            figures += compare(task, answers[0][place], answers[1][place])
        else:
            figures += estimate(task, answers[0][place])
    if as_json:
        whole = {"models": list(names), "figures": [asdict(figure) for figure in figures]}
        print(json.dumps(whole, indent=2))
        return
    _print_table(figures, names)
    for place, task in enumerate(tasks):
        if task.name != "perplexity":
            _print_samples([each[place] for each in answers], names)


def _print_table(figures: "Sequence[Estimate | Comparison]", names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from groundup.evaluation.model_card import difference, interval, shown
    from groundup.evaluation.summary import Estimate

    table = Table("task", "metric", "items")
    more = ("difference", "95 % interval", "p") if len(names) == 2 else ()
    for title in (*names, *more):
        table.add_column(Text(title))
    for figure in figures:
        sides = [figure] if isinstance(figure, Estimate) else [figure.first, figure.second]
        values = [f"{shown(s.metric, s.value)}\n{interval(s)}".rstrip() for s in sides]
        gain = () if isinstance(figure, Estimate) else difference(figure)
        table.add_row(sides[0].task, sides[0].metric, str(sides[0].items), *values, *gain)
    Console().print(table)


def _print_samples(sides: "Sequence[Sequence[Record]]", names: Sequence[str]) -> None:
    """A few answers beside each other, those first on which the models differ."""
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    rows = sorted(zip(*sides, strict=True), key=lambda row: len({str(r.scores) for r in row}) < 2)
    width = max(20, console.width // len(sides) - 1)
    for row in rows[:SHOWN]:
        first = row[0]
        console.print(Text(f"\n{first.item}: {first.prompt[-400:]}", "bold"))
        if first.expected:
            console.print(Text(f"expected: {first.expected}", "dim"))
        panels = []
        for name, record in zip(names, row, strict=True):
            right = ", ".join(f"{metric} {value:g}" for metric, value in record.scores.items())
            text = Text(f"{record.answer.strip()[:1000]}\n").append(f"{record.note}", "dim")
            panels.append(Panel(text, title=Text(name), subtitle=Text(right), width=width))
        console.print(Columns(panels))
    sys.stdout.flush()
