"""The 26 weeks as a path: what is done, where one is, what is in each week."""

from collections.abc import Callable, Collection, Iterable
from html import escape
from itertools import groupby

from nicegui import ui

from groundup.app.element import svg, tag
from groundup.course.parts.table import PARTS
from groundup.course.progress import PartProgress
from groundup.course.roadmap import Reference, Week

__all__ = ["draw_path"]

MARKED = ("theory", "project", "drills")  # kinds of work that one marks as done oneself


def draw_path(
    weeks: Iterable[Week],
    current: Week | None,
    states: dict[str, PartProgress],
    done: Collection[str],
    mark: Callable[[str, bool], object] | None,
) -> None:
    """Arguments:
    weeks: of the roadmap.
    current: where the learner is; None without a workspace.
    states: of the parts; empty without a workspace.
    done: ids of tasks.
    mark: called when a task is marked as done, or not done; None without a workspace.
    """
    for month, group in groupby(weeks, key=lambda week: (week.month, week.month_title)):
        with tag("section", "path-month", aria_label=f"Month {month[0]}"):
            with tag("h2", "row"):
                tag("span", "muted", f"Month {month[0]}")
                tag("span", "", month[1])
            with tag("ol", "path"):
                for week in group:
                    _draw_week(week, week is current, states, done, mark)


def _draw_week(
    week: Week,
    current: bool,
    states: dict[str, PartProgress],
    done: Collection[str],
    mark: Callable[[str, bool], object] | None,
) -> None:
    here = [part.id for part in week.parts if part.id in PARTS]
    passed = [id for id in here if id in states and states[id].ever_passed]
    finished = f"week-{week.number}-project" in done and len(passed) == len(here)
    look = "done" if finished else "current" if current else ""
    with tag("li", f"path-week {look}") as item:
        if current:
            item.props["aria-current"] = "step"
        with tag("details") as details:
            if current:
                details.props["open"] = True
            with tag("summary"):
                with tag("span", "path-node figure", "" if finished else str(week.number)):
                    if finished:
                        svg("check")
                with tag("span", "grow"):
                    tag("span", "visually-hidden", f"Week {week.number}: ")
                    tag("strong", "", week.title)
                    if current:
                        tag("span", "chip accent", "you are here")
                    if finished:
                        tag("span", "visually-hidden", "done")
                with tag("span", "path-dots"):
                    for id in here:
                        tag("i", "on" if id in passed else "")
                tag(
                    "span", "muted small-text figure path-count",
                    f"{len(passed)}/{len(here)}" if here else "coming" if week.parts else "",
                )  # fmt: skip
            with tag("div", "path-inside"):
                ui.html(_facts(week, passed), sanitize=False)
                if mark is not None:
                    with tag("div", "row path-marks"):
                        tag("span", "muted small-text", "Mark as done:")
                        for kind in MARKED:
                            _draw_mark(f"week-{week.number}-{kind}", kind, done, mark)


def _draw_mark(
    task: str, kind: str, done: Collection[str], mark: Callable[[str, bool], object]
) -> None:
    with tag("label", "row small-text"):
        box = tag("input", "", type="checkbox")
        if task in done:
            box.props["checked"] = True
        tag("span", "", kind)
    box.on(
        "change",
        lambda event: mark(task, bool(event.args)),
        js_handler="(event) => emit(event.target.checked)",
    )


def _facts(week: Week, passed: Collection[str]) -> str:
    """Goals, parts, reading, project and hours, as HTML of our own texts."""
    goals = "".join(f"<li>{escape(goal)}</li>" for goal in week.goals)
    reading = "".join(f"<li>{_citation(each)}</li>" for each in week.reading)
    parts = "".join(_part(part.id, part.description, part.id in passed) for part in week.parts)
    h = week.hours
    return (
        (f"<h3>Parts</h3><ul class='path-parts'>{parts}</ul>" if parts else "")
        + f"<h3>Project</h3><p>{escape(week.project)}</p><h3>Goals</h3><ol>{goals}</ol>"
        + f"<h3>Reading</h3><ul>{reading}</ul><p class='muted small-text'>{h.total} hours: theory "
        + f"{h.theory}, coding {h.coding}, project {h.project}, drills {h.drills}</p>"
    )


def _part(id: str, description: str, passed: bool) -> str:
    state = "passed" if passed else "" if id in PARTS else "coming"
    chip = f" <span class='chip {'good' if passed else ''}'>{state}</span>" if state else ""
    name = f"<a href='/labs/{id}'>{id}</a>" if id in PARTS else f"<span>{id}</span>"
    return f"<li>{name}{chip} <span class='muted'>{escape(description)}</span></li>"


def _citation(reference: Reference) -> str:
    text = (
        f"{escape(reference.authors)} ({reference.year}). <cite>{escape(reference.title)}</cite>."
    )
    where = (
        f" {escape(reference.where[0].upper() + reference.where[1:])}." if reference.where else ""
    )
    scheme, _, number = reference.id.partition(":")
    sites = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
    if scheme in sites:
        link = escape(sites[scheme] + number)
        name = escape(reference.id)
        where += f" <a href='{link}' rel='noopener noreferrer' target='_blank'>{name}</a>"
    return text + where
