"""The commands of a learner: choose a part, build it, check it, run on it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.plan import show_plan
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.course.parts.table import Part
    from groundup.course.workspace import Workspace

__all__ = ["course_commands"]

PartName = Annotated[
    str,
    typer.Argument(
        metavar="PART", help="The part's name: groundup roadmap 3 shows those of week 3."
    ),
]
MaybePartName = Annotated[
    str | None,
    typer.Argument(metavar="[PART]", help="The part's name.", show_default="the one changed last"),
]
LESSON_COLUMNS = 90  # longer lines are hard to read
WATCH_SECONDS = 0.1  # between two looks at a file


def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")] = Path("workspace"),
) -> None:
    """Make a workspace: the folder in which you build your parts."""
    from groundup.course.workspace import init_workspace

    workspace = init_workspace(folder)
    typer.echo(f"Your workspace is {workspace.root}\nNext: groundup next")


def show_next_part() -> None:
    """Show what to build next."""
    from groundup.course.progress import next_part, progress
    from groundup.course.roadmap import load_roadmap

    workspace = _workspace()
    states = progress(workspace)
    found = next_part(load_roadmap(), states)
    if found is None:
        typer.echo("You have passed every part that the library has. groundup roadmap shows more.")
        return
    week, part = found[0], found[1].part
    typer.echo(f"{part.id}: {part.summary} (week {week.number}, {part.minutes} minutes)")
    unmet = [need for need in part.needs if not states[need].ever_passed]
    if unmet:
        typer.echo(f"It builds on {', '.join(unmet)}, which you have not passed yet.")
    file = workspace.file(part)
    typer.echo(
        f"Go on in {file}, then: groundup check {part.id}"
        if file.is_file()
        else f"Begin: groundup start {part.id}"
    )


def start(part: PartName) -> None:
    """Write a part's stub to your workspace."""
    from groundup.course.parts.table import part_named

    chosen = part_named(part)
    workspace = _workspace()
    existed = workspace.file(chosen).exists()
    file = workspace.start(chosen)
    if existed:
        typer.echo(f"{file} is there already and was left as it is (groundup reset {chosen.id})")
    else:
        typer.echo(f"Wrote {file}: its docstrings are the assignment")
    typer.echo(f"Read first: groundup lesson {chosen.id}")
    typer.echo(f"Then: groundup check {chosen.id}   (--watch checks at every save)")


def lesson(part: MaybePartName = None) -> None:
    """Read about a part: the idea, how it fails, what an interviewer asks."""
    from rich.console import Console
    from rich.markdown import Markdown

    from groundup.course import lesson as lessons
    from groundup.course.parts.table import part_named
    from groundup.course.workspace import find_workspace

    workspace = find_workspace()
    chosen = _chosen(_workspace(), None) if part is None else part_named(part)
    console = Console()
    text = Markdown(lessons.spelled_out(lessons.lesson(chosen)), code_theme="ansi_dark")
    console.print(text, width=min(console.width, LESSON_COLUMNS))
    if workspace:  # reading needs none
        workspace.log("lesson", part=chosen.id)


def check(
    part: MaybePartName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check at every save.")] = False,
    bench: Annotated[bool, typer.Option("--bench", help="Compare speed as well.")] = False,
) -> None:
    """Check a part you wrote: values, gradients, bad input; with --bench its speed."""
    workspace = _workspace()
    chosen = _chosen(workspace, part)
    file = workspace.started_file(chosen)
    if not watch:
        passed = _check_once(workspace, chosen, file, bench)
        raise typer.Exit(0 if passed else 1)
    try:
        while True:
            saved = _saved(file)
            try:
                _check_once(workspace, chosen, file, bench)
            except GroundupError as error:
                typer.secho(f"{error}", fg="red", err=True)
            typer.secho(f"\nwaiting for {file.name} to be saved (Ctrl-C leaves)", dim=True)
            while _saved(file) in (saved, None):
                time.sleep(WATCH_SECONDS)
            typer.echo()
    except KeyboardInterrupt:
        typer.echo()


def _saved(file: Path) -> int | None:
    """When a file was written last; None while an editor replaces it."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def hint(part: MaybePartName = None) -> None:
    """Show the next of a part's three hints."""
    from rich.console import Console
    from rich.markdown import Markdown

    from groundup.course.help import hints, show_next_hint

    workspace = _workspace()
    chosen = _chosen(workspace, part)
    level, text = show_next_hint(workspace, chosen)
    Console().print(Markdown(f"## Hint {text}"))
    if level == len(hints(chosen)):
        typer.echo(f"\nThis was the last hint. groundup solution {chosen.id} shows the reference.")


def solution(
    part: PartName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show the reference's source. Your record notes that you saw it."""
    from rich.console import Console
    from rich.syntax import Syntax

    from groundup.course.help import show_solution
    from groundup.course.parts.table import part_named

    chosen = part_named(part)
    workspace = _workspace()
    if not yes:
        question = f"Show how the library does {chosen.id}? Your record will say so [y/N]: "
        typer.echo(question, nl=False, err=True)  # stdout is for the source alone
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise typer.Abort
    source = show_solution(workspace, chosen)
    if sys.stdout.isatty():
        Console().print(Syntax(source, "python", theme="ansi_dark", background_color="default"))
    else:
        typer.echo(source, nl=False)


def swap(part: MaybePartName = None) -> None:
    """Put your part in the place of the library's: the app runs on it from now on."""
    from groundup.course.swap import swap_in

    workspace = _workspace()
    chosen = _chosen(workspace, part)
    swap_in(workspace, chosen)
    command = "train digits" if chosen.numpy_only else "chat"
    typer.echo(f"groundup now runs on your {chosen.id}. Try it: groundup {command}")


def unswap(part: PartName) -> None:
    """Go back to the library's own part. Your file stays as it is."""
    from groundup.course.parts.table import part_named
    from groundup.course.swap import swap_out

    chosen = part_named(part)
    swap_out(_workspace(), chosen)
    typer.echo(f"groundup runs on its own {chosen.id} again")


def status() -> None:
    """Show where you stand with each part."""
    from rich.console import Console
    from rich.table import Table

    from groundup.course.progress import progress

    workspace = _workspace()
    table = Table(box=None, pad_edge=False)
    states = progress(workspace)
    shown = {
        each: state
        for each, state in states.items()
        if state.state != "not started" or state.hints or state.solution_seen
    }
    width = max(map(len, shown), default=0)
    table.add_column("part", min_width=width)  # names have to be typed: whole
    table.add_column("state")
    table.add_column("checks", justify="right")
    table.add_column("hints", justify="right")
    for state in shown.values():
        text: str = state.state
        style = {"passed": "green", "failing": "red"}.get(text, "")
        if state.swapped:
            text = "passed, swapped in" if text == "passed" else f"{text}: the reference serves"
        if state.solution_seen:
            text += " (solution seen)"
        checks, hints = str(state.checks or ""), str(state.hints or "")
        table.add_row(state.part.id, f"[{style}]{text}[/]" if style else text, checks, hints)
    console = Console(highlight=False)
    if shown:
        console.print(table)
    passed = sum(state.ever_passed for state in states.values())
    console.print(f"\n{passed} of {len(states)} parts passed, in {workspace.root}", soft_wrap=True)
    console.print(f"{len(states) - len(shown)} more, untouched: groundup roadmap shows them")


def reset(part: PartName) -> None:
    """Begin a part anew; what you wrote is put aside in backups/."""
    from groundup.course.parts.table import part_named

    chosen = part_named(part)
    backup = _workspace().reset(chosen)
    typer.echo(f"The stub is back. What you had written is {backup}")


def roadmap(
    week: Annotated[
        int | None, typer.Argument(help="Show one week in full.", show_default="all 26")
    ] = None,
) -> None:
    """Show the 26 weeks and how far you are."""
    from rich.console import Console

    from groundup.cli.roadmap import show_roadmap
    from groundup.course.parts.table import PARTS
    from groundup.course.progress import progress
    from groundup.course.roadmap import load_roadmap
    from groundup.course.workspace import find_workspace

    workspace = find_workspace()
    states = progress(workspace) if workspace else {}
    passed = {id for id, state in states.items() if state.ever_passed}
    swapped = {id for id, state in states.items() if state.swapped and state.state == "passed"}
    show_roadmap(load_roadmap(), week, PARTS, passed, swapped, Console(highlight=False))


def doctor() -> None:
    """Look for what could be wrong with this installation, and say what to do."""
    from groundup.cli.doctor import diagnoses

    healthy = True
    for name, problem, advice in diagnoses():
        healthy &= problem is None
        mark = typer.style("ok", fg="green") if problem is None else typer.style("!!", fg="red")
        typer.echo(f"{mark}  {name}" + (f": {problem}. {advice}" if problem else ""))
    raise typer.Exit(0 if healthy else 1)


def _workspace() -> "Workspace":
    from groundup.course.workspace import find_workspace

    workspace = find_workspace()
    if workspace is None:
        raise GroundupError("there is no workspace here or above: make one with `groundup init`")
    return workspace


def _chosen(workspace: "Workspace", name: str | None) -> "Part":
    """The part of this name, or the one whose file was changed last."""
    from groundup.course.parts.table import part_named

    if name is not None:
        return part_named(name)
    part = next(workspace.started(), None)
    if part is None:
        raise GroundupError("no part was started yet: groundup next says which to begin with")
    return part


def _check_once(workspace: "Workspace", part: "Part", file: Path, bench: bool) -> bool:
    from rich.console import Console

    from groundup.course.check import Verdict
    from groundup.course.check import check as results

    console = Console(highlight=False)
    console.print(f"[bold]{part.id}[/]  {file}", soft_wrap=True)
    shown, verdict = "", None
    for result in results(workspace, part, lambda: console.print("[dim]starting the grader[/]")):
        if isinstance(result, Verdict):
            verdict = result
        elif result.passed:
            console.print(f"  [green]✓[/] {result.title}")
        else:
            console.print(f"  [red]✗[/] {result.title}")
            if result.message == shown:
                _print_indented(console, "the same", "dim")
            else:
                shown = result.message
                _print_indented(console, shown, "")
            if result.printed:
                _print_indented(console, f"your code printed:\n{result.printed.rstrip()}", "dim")
            if result.status == "fatal":
                console.print("    [dim]the other checks were not run[/]")
    assert verdict is not None  # it is the last
    if not verdict.unchanged:
        console.print(f"\n{file.name} was saved while it was checked: check it again")
    elif verdict.failed:
        counted = f"{verdict.count - len(verdict.failed)} of {verdict.count} checks passed"
        console.print(f"\n{counted}. A hint: groundup hint {part.id}", soft_wrap=True)
    else:
        advice = f"Run on it: groundup swap {part.id}"
        console.print(f"\n[green]all {verdict.count} checks passed[/]. {advice}", soft_wrap=True)
        if bench:
            _show_speed(console, part, file)
    return verdict.passed


def _print_indented(console: "Console", text: str, style: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style=style), (0, 0, 0, 4), expand=False))


def _show_speed(console: "Console", part: "Part", file: Path) -> None:
    from rich.table import Table

    from groundup.course.speed import compare_speed

    with console.status("measuring"):
        speed = compare_speed(part, file)
    yours, theirs = speed.yours, speed.reference
    table = Table("size", "yours", "reference", "yours/reference", box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for size, mine, other in zip(speed.sizes, yours, theirs, strict=True):
        ratio = f"{mine / other:.2f}"
        table.add_row(f"{size:,}", f"{mine * 1e3:.3f} ms", f"{other * 1e3:.3f} ms", ratio)
    table.add_row("scaling", f"× {yours[1] / yours[0]:.1f}", f"× {theirs[1] / theirs[0]:.1f}")
    console.print(table)


course_commands: dict[str, Callable[..., None]] = {
    "roadmap": roadmap,
    "plan": show_plan,
    "init": init,
    "next": show_next_part,
    "start": start,
    "lesson": lesson,
    "check": check,
    "hint": hint,
    "solution": solution,
    "swap": swap,
    "unswap": unswap,
    "status": status,
    "reset": reset,
    "doctor": doctor,
}
