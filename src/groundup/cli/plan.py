"""The plan of study in the terminal: today, the settings, the calendar file."""

from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.course.planner import Schedule

__all__ = ["show_plan"]

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def show_plan(
    start: Annotated[
        str | None, typer.Option(help="The first day of study: a date, or today.")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Of study, Monday to Friday.")] = None,
    weekend_hours: Annotated[float | None, typer.Option(help="On Saturday and Sunday.")] = None,
    rest: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day without study; may be repeated; none for none."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="When a day begins; none for whole days.")
    ] = None,
    done: Annotated[
        str | None, typer.Option(metavar="TASK", help="Mark a task as done, as in week-3-project.")
    ] = None,
    ics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the plan as a calendar file.")
    ] = None,
) -> None:
    """Show today's plan; with options set when you study, or write a calendar."""
    from groundup.atomic_write import write_text
    from groundup.course.ics import calendar
    from groundup.course.study import mark_task, set_schedule
    from groundup.course.study_plan import read_study_plan
    from groundup.course.workspace import find_workspace

    workspace = find_workspace()
    if workspace is None:
        raise GroundupError("there is no workspace here or above: make one with `groundup init`")
    today = date.today()
    study = read_study_plan(workspace, today)
    if done is not None:
        mark_task(workspace, study.task(done), done=True)
        typer.echo(f"{done} is done")
    if any(option is not None for option in (start, hours, weekend_hours, rest, at)):
        set_schedule(
            workspace, _changed(study.schedule, today, start, hours, weekend_hours, rest, at)
        )
    study = read_study_plan(workspace, today)
    if study.schedule is None or study.plan is None:
        raise GroundupError("there is no plan yet: begin with `groundup plan --start today`")
    if ics is not None:
        try:
            now = datetime.now().astimezone()
            write_text(ics, calendar(study.sessions, study.schedule.at, now))
        except OSError as error:
            raise GroundupError(f"cannot write {ics}: {error.strerror}") from None
        typer.echo(f"Wrote {len(study.sessions)} sessions to {ics}")
        return
    sessions = study.plan.on(today)
    typer.echo(f"{today:%A, %-d %B %Y}" + ("" if sessions else ": nothing is planned"))
    for session in sessions:
        task = session.task
        mark = "✓" if study.finished(session) else " "
        typer.echo(f"{mark} {session.minutes / 60:>4g} h  {task.kind:<8} {task.id}")
    if study.plan.behind > 0:
        hours_behind = f"{study.plan.behind / 60:g} h"
        typer.echo(f"You are {hours_behind} behind the first plan, so it was laid out anew.")
    if study.plan.end is not None:
        typer.echo(f"The end is on {study.plan.end:%-d %B %Y} (groundup roadmap shows the weeks)")


def _changed(
    now: "Schedule | None",
    today: date,
    start: str | None,
    hours: float | None,
    weekend_hours: float | None,
    rest: list[str] | None,
    at: str | None,
) -> "Schedule":
    """The schedule with what was given instead."""
    from dataclasses import replace

    from groundup.course.planner import Schedule

    schedule = now or Schedule(today)
    if start is not None:
        schedule = replace(schedule, start=today if start == "today" else _date(start))
    if hours is not None:
        schedule = replace(schedule, weekday=round(hours * 60))
    if weekend_hours is not None:
        schedule = replace(schedule, weekend=round(weekend_hours * 60))
    if rest is not None:
        schedule = replace(schedule, rest=frozenset(_day(name) for name in rest if name != "none"))
    if at is not None:
        schedule = replace(schedule, at=None if at == "none" else _time(at))
    return schedule


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise GroundupError(f"{text!r} is not a date: write it as 2026-01-31, or today") from None


def _time(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise GroundupError(f"{text!r} is not a time: write it as in 19:30, or none") from None


def _day(name: str) -> int:
    found = [n for n, day in enumerate(DAYS) if len(name) > 1 and day.startswith(name.lower())]
    if len(found) != 1:
        raise GroundupError(f"{name!r} is not a day of the week: write it as in sunday, or none")
    return found[0]
