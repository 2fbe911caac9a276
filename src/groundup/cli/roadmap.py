"""The roadmap in the terminal: all 26 weeks, or one of them in full."""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from groundup.course.roadmap import Reference, Week, WeekProgress, progress
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["show_roadmap"]

WIDEST = 80  # columns: longer lines are hard to read


def show_roadmap(
    weeks: Sequence[Week],
    week: int | None,
    available: Collection[str],
    passed: Collection[str],
    swapped: Collection[str],
    console: "Console",
) -> None:
    """Print all weeks by month, or one week in full.

    Args:
        weeks: of the roadmap, in order.
        week: the number of the one to show; None shows all.
        available: ids of the parts that the library has; all others are coming.
        passed: ids of the parts whose checks the learner's own code has passed.
        swapped: ids of the passed parts that the app runs on now.
        console: written to, in at most 80 of its columns.

    Raises:
        GroundupError: there is no week of that number.
    """
    if week is None:
        _overview(weeks, progress(weeks, available, passed), console)
    elif 1 <= week <= len(weeks):
        chosen = weeks[week - 1]
        (standing,) = progress([chosen], available, passed)
        _week(chosen, standing, swapped, console)
    else:
        raise GroundupError(
            f"there is no week {week}: the roadmap has weeks 1 to {len(weeks)}, "
            "so name one of those, as in `groundup roadmap 4`"
        )


def _overview(weeks: Sequence[Week], standings: Sequence[WeekProgress], console: "Console") -> None:
    from rich.text import Text

    width = min(console.width, WIDEST)
    passed = sum(len(standing.passed) for standing in standings)
    here = sum(len(standing.available) for standing in standings)
    coming = sum(len(standing.coming) for standing in standings)
    months = [list(group) for _, group in groupby(weeks, key=lambda week: week.month)]

    total = f"{len(weeks)} weeks · {len(months)} months · {_hours(weeks)} hours"
    console.print(Text(total, "bold"), width=width)
    console.print(_summary(passed, here, coming), width=width)

    # The columns are as wide in every month, so that they line up down the page.
    dots = {standing.week: _dots(standing) for standing in standings}
    soon = {standing.week: _coming(standing) for standing in standings}
    dots_width = max(text.cell_len for text in dots.values())
    soon_width = max(text.cell_len for text in soon.values())
    title_width = max(12, width - dots_width - soon_width - len("26  20 h  "))
    for month in months:
        console.print()
        heading = (f"Month {month[0].month} · {month[0].month_title}", "bold")
        console.print(Text.assemble(heading, (f"  {_hours(month)} h", "dim")), width=width)
        for week in month:
            first, *rest = Text(week.title).wrap(console, title_width)
            first.set_length(title_width)
            line = Text.assemble(f"{week.number:>2} ", first, (f" {week.hours.total:>2} h ", "dim"))
            line.append_text(dots[week.number])
            line.pad_right(dots_width + 1 - dots[week.number].cell_len)
            line.append_text(soon[week.number])
            line.rstrip()
            console.print(line)
            for more in rest:
                console.print(Text("   ").append_text(more))

    for standing in standings:
        to_do = [id for id in standing.available if id not in standing.passed]
        if to_do:
            console.print()
            command = (f" (groundup roadmap {standing.week})", "dim")
            following = Text.assemble("Next: ", (to_do[0], "bold"), f", week {standing.week}")
            console.print(following.append(*command), width=width)
            break


def _hours(weeks: Iterable[Week]) -> int:
    return sum(week.hours.total for week in weeks)


def _summary(passed: int, here: int, coming: int) -> "Text":
    from rich.text import Text

    if not here:
        return Text(f"No part is here yet, {coming} are coming")
    return Text.assemble(
        (f"{passed} of {here} parts passed ({100 * passed // here} %)", "green" if passed else ""),
        (f", {coming} more coming" if coming else "", "dim"),
    )


def _dots(standing: WeekProgress) -> "Text":
    """``●●○ 2/3`` for the parts that are here."""
    from rich.text import Text

    done, here = len(standing.passed), len(standing.available)
    if not here:
        return Text()
    return Text.assemble(("●" * done, "green"), "○" * (here - done), f" {done}/{here}")


def _coming(standing: WeekProgress) -> "Text":
    from rich.text import Text

    return Text(f"+{len(standing.coming)} coming" if standing.coming else "", "dim")


def _week(week: Week, standing: WeekProgress, swapped: Collection[str], console: "Console") -> None:
    from rich.text import Text

    width = min(console.width, WIDEST)

    def heading(title: str, aside: str = "") -> None:
        console.print()
        console.print(Text.assemble((title, "bold"), (aside and f"  {aside}", "dim")), width=width)

    def item(mark: str, body: Text, style: str = "") -> None:
        _hanging(Text(f"{mark:>3} ", style), body, width, console)

    _hanging(Text(), Text(f"Week {week.number} · {week.title}", "bold"), width, console)
    rooms = "room" if len(week.rooms) == 1 else "rooms"
    place = f"Month {week.month}, {week.month_title} · {rooms} {', '.join(week.rooms)}"
    _hanging(Text(), Text(place, "dim"), width, console)

    heading("Goals")
    for number, goal in enumerate(week.goals, start=1):
        item(str(number), Text(goal))

    heading("Reading")
    for reference in week.reading:
        item("•", _citation(reference))

    if week.parts:
        done, here, coming = map(len, (standing.passed, standing.available, standing.coming))
        counts = [f"{done} of {here} passed"] * bool(here) + [f"{coming} coming"] * bool(coming)
        heading("Parts", ", ".join(counts))
        for part in week.parts:
            mark, state, style = _state(part.id, standing, swapped)
            name = Text.assemble((part.id, "bold"), "  ", (state, style))
            item(mark, name, style)
            item("", Text(part.description))

    heading("Project")
    item("", Text(week.project))

    hours = week.hours
    heading("Hours", f"{hours.total} in all")
    split = f"theory {hours.theory} · coding {hours.coding} · "
    item("", Text(f"{split}project {hours.project} · drills {hours.drills}"))


def _hanging(mark: "Text", body: "Text", width: int, console: "Console") -> None:
    """Print ``body`` after ``mark``, its further lines under the first, none ending in a space."""
    from rich.text import Text

    indent = Text(" " * mark.cell_len)
    for number, line in enumerate(body.wrap(console, width - mark.cell_len)):
        line.rstrip()
        console.print((indent if number else mark) + line)


def _state(id: str, standing: WeekProgress, swapped: Collection[str]) -> tuple[str, str, str]:
    """The mark, word and style of a part. Only code that passed can be swapped in."""
    if id in standing.coming:
        return "+", "coming", "dim"
    if id not in standing.passed:
        return "○", "to do", ""
    return "●", "✓ swapped in" if id in swapped else "✓ passed", "green"


def _citation(reference: Reference) -> "Text":
    from rich.text import Text

    text = Text(f"{reference.authors} ({reference.year}). {reference.title}.")
    if reference.where:
        text.append(f" {reference.where[0].upper()}{reference.where[1:]}.")
    if reference.id:
        text.append(f" {reference.id}", "dim")
    return text
