"""The roadmap: today, the plan, the 26 weeks, and how far one is."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from groundup.app.element import svg, tag
from groundup.app.page import Page
from groundup.app.roadmap_path import draw_path
from groundup.app.toast import toast
from groundup.app.visitor import Visitor
from groundup.app.workspace_offer import (
    draw_if_not_theirs,
    draw_workspace_offer,
    found_workspace,
)
from groundup.course.ics import calendar
from groundup.course.ownership import ownership
from groundup.course.planner import Schedule, Session
from groundup.course.roadmap import load_roadmap, load_success_metrics
from groundup.course.study import log_study, mark_task, set_schedule
from groundup.course.study_plan import StudyPlan, read_study_plan
from groundup.course.success import Facts, standings
from groundup.course.workspace import Workspace
from groundup.errors import GroundupError

__all__ = ["PAGE"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
POLL = 2.0  # seconds between two looks at the record
FORM = """(event) => {
    const form = new FormData(event.target);
    emit({ ...Object.fromEntries(form), rest: form.getAll("rest") });
}"""


async def build(visitor: Visitor) -> None:
    """With a workspace, the plan and the record; without one the weeks alone."""
    if draw_if_not_theirs(visitor):
        return
    workspace, problem = await asyncio.to_thread(found_workspace, visitor.app)
    study = None
    if workspace is not None:
        try:
            study = await asyncio.to_thread(read_study_plan, workspace, date.today())
        except GroundupError as error:
            problem = str(error)
    with tag("div", "sheet roadmap"):
        with tag("header"):
            tag("h1", "", "Roadmap")
            tag("p", "", "Six months, from a neural network in NumPy to a service that runs on "
                "your own code.")  # fmt: skip
        if workspace is None or study is None:
            draw_workspace_offer(problem)
            draw_path(load_roadmap(), None, {}, (), None)
        else:
            await RoadmapPage(workspace, study).draw()


class RoadmapPage:
    """One visit."""

    def __init__(self, workspace: Workspace, study: StudyPlan) -> None:
        self.workspace, self.study = workspace, study
        self.client = ui.context.client
        self.size = 0  # of the record, as it is shown

    async def draw(self) -> None:
        self.now = tag("div", "stack roadmap-now")
        with tag("div", "roadmap-weeks"):
            study = self.study
            draw_path(study.weeks, study.week, study.states, study.done, self.mark)
        self.success = tag("section", "roadmap-success")
        await self.follow()
        ui.timer(POLL, self.follow, immediate=False)

    async def follow(self) -> None:
        """Draw what changes anew, when the record or the day is another."""
        try:
            size = await asyncio.to_thread(lambda: self.workspace.events_file.stat().st_size)
            if size == self.size and self.study.today == date.today():
                return
            self.study = await asyncio.to_thread(read_study_plan, self.workspace, date.today())
        except (GroundupError, OSError) as error:
            toast(self.client, str(error), "bad")
            return
        self.size = size
        own = await asyncio.to_thread(ownership, self.study.states.values())
        self.now.clear()
        with self.now:
            with tag("div", "figures"):
                record = self.study.record
                figure(f"{self.study.week.number} of 26", "week")
                days = "day in a row" if record.streak == 1 else "days in a row"
                figure(str(record.streak), days, f"longest: {record.longest}")
                figure(f"{record.minutes / 60:.1f}", "hours", "logged, or seen in the record")
                figure(
                    f"{own.parts} of {own.all_parts}", "parts of the stack are yours",
                    f"{100 * own.lines / own.all_lines:.1f} % of its lines",
                    own.parts / own.all_parts,
                )  # fmt: skip
            with tag("div", "roadmap-plan"):
                self.draw_today()
                self.draw_schedule()
        self.success.clear()
        with self.success:
            self.draw_success()

    # --- today

    def draw_today(self) -> None:
        study = self.study
        with tag("section", "card stack", aria_label="Today"):
            with tag("h2", "row"):
                tag("span", "grow", "Today")
                tag("span", "muted small-text", f"{study.today:%A, %-d %B}")
            if study.plan is None:
                tag("p", "muted", "Say when you study, and each day has its plan: theory, coding, "
                    "project and drills, deep work on weekends.")  # fmt: skip
                return
            sessions = study.plan.on(study.today)
            if study.plan.end is None:
                tag("p", "", "Everything on the roadmap is done.")
            elif not sessions:
                tag("p", "muted", "Nothing is planned today: it is a day of rest, or before the "
                    "start.")  # fmt: skip
            with tag("ul", "today"):
                for session in sessions:
                    self.draw_session(session, study.finished(session))
            if study.plan.behind > 0:
                tag(
                    "p", "muted small-text",
                    f"{study.plan.behind / 60:g} hours behind the first plan. What was not done "
                    "has moved; nothing is lost.",
                )  # fmt: skip

    def draw_session(self, session: Session, finished: bool) -> None:
        task = session.task
        with tag("li", "done" if finished else ""):
            tag("span", f"kind {task.kind}", task.kind)
            with tag("span", "grow"):
                if task.id.startswith("week-"):
                    tag("span", "", task.title.partition(": ")[2])
                else:
                    here = task.id in self.study.states  # or the library does not have it yet
                    tag("a" if here else "span", "", task.id, href=f"/labs/{task.id}")
                    tag("span", "muted small-text", task.title)
            tag("span", "muted figure", f"{session.minutes} min")
            if finished:
                with tag("span", "chip good"):
                    svg("check")
                    tag("span", "", "done")
            else:
                button = tag("button", "button small", "Log it", type="button")
                button.props["aria-label"] = f"Log {session.minutes} minutes of {task.id}"
                button.on("click", lambda: self.log(session))

    async def log(self, session: Session) -> None:
        await self.write(log_study, session.task, session.minutes)

    async def mark(self, task: str, done: bool) -> None:
        await self.write(mark_task, self.study.task(task), done)

    async def write(self, function: Any, *arguments: object) -> None:
        """Record something, and show what follows from it."""
        try:
            await asyncio.to_thread(function, self.workspace, *arguments)
        except GroundupError as error:
            toast(self.client, str(error), "bad")
        await self.follow()

    # --- the schedule

    def draw_schedule(self) -> None:
        study = self.study
        with tag("section", "card stack", aria_label="Plan"):
            tag("h2", "", "Plan")
            if study.schedule is not None and study.plan is not None:
                tag("p", "", described(study.schedule))
                if study.plan.end is not None:
                    late = study.plan.end > study.plan.first_end
                    first = f", first planned for {study.plan.first_end:%-d %B}" if late else ""
                    tag("p", "muted", f"It ends on {study.plan.end:%-d %B %Y}{first}.")
                with tag("button", "button", type="button") as button:
                    svg("calendar")
                    tag("span", "", "Calendar file (.ics)")
                button.on("click", self.download)
            with tag("details") as details:
                tag("summary", "", "Change it" if study.schedule else "When you study")
                if study.schedule is None:
                    details.props["open"] = True
                self.draw_form(study.schedule or Schedule(study.today))

    def draw_form(self, schedule: Schedule) -> None:
        with tag("form", "stack roadmap-form") as form:
            with tag("div", "row fields"):
                field("First day", "start", "date", schedule.start.isoformat())
                hours = {"min": 0, "max": 16, "step": 0.25}
                field(
                    "Hours, Mon to Fri", "weekday", "number", f"{schedule.weekday / 60:g}", **hours
                )
                field(
                    "Hours, Sat and Sun", "weekend", "number", f"{schedule.weekend / 60:g}", **hours
                )
                begin = schedule.at.isoformat("minutes") if schedule.at else ""
                field("Begin (may be empty)", "at", "time", begin)
            with tag("fieldset", "row days"):
                tag("legend", "", "Days of rest")
                for number, day in enumerate(DAYS):
                    with tag("label", "row"):
                        box = tag("input", "", type="checkbox", name="rest", value=number)
                        if number in schedule.rest:
                            box.props["checked"] = True
                        tag("span", "", day)
            tag("button", "button primary", "Save the plan", type="submit")
        form.on("submit.prevent", self.plan, js_handler=FORM)

    async def plan(self, event: GenericEventArguments) -> None:
        try:
            schedule = schedule_from(event.args)
        except GroundupError as error:
            toast(self.client, str(error), "bad")
            return
        await self.write(set_schedule, schedule)

    def download(self) -> None:
        if self.study.schedule is not None:
            now = datetime.now().astimezone()
            text = calendar(self.study.sessions, self.study.schedule.at, now)
            ui.download.content(text, "groundup.ics", "text/calendar")

    # --- success

    def draw_success(self) -> None:
        study = self.study
        facts = Facts(tuple(study.states.values()), study.done, study.record)
        tag("h2", "", "Signs of success")
        with tag("ul", "success"):
            for standing in standings(load_success_metrics(), facts):
                metric = standing.metric
                unit = metric.measure.removeprefix("% of ")
                percent = " %" if unit != metric.measure else ""
                with tag("li", "card stack"):
                    with tag("div", "row"):
                        tag("strong", "grow", metric.title)
                        tag("span", "chip good" if standing.met else "chip",
                            "reached" if standing.met else "not yet")  # fmt: skip
                    of = " of" if percent else ""
                    words = (
                        f"{standing.value:.0f}{percent}{of} {unit}, goal {metric.target}{percent}"
                    )
                    tag("span", "figure", words)
                    bar(standing.value / metric.target)
                    tag("p", "muted small-text", metric.known)


def figure(value: str, name: str, more: str = "", share: float | None = None) -> None:
    """A number, and what it is."""
    with tag("div", "figure-card card"):
        tag("strong", "figure", value)
        tag("span", "", name)
        if more:
            tag("span", "muted small-text", more)
        if share is not None:
            bar(share, "yours")


def bar(share: float, classes: str = "") -> None:
    """How much of a whole; said in words beside it."""
    with tag("div", "progress", aria_hidden="true"):
        tag("div", classes).style(f"width: {100 * min(1.0, share):.1f}%")


def field(label: str, name: str, kind: str, value: str, **attributes: Any) -> None:
    """A labelled input."""
    with tag("div", "field"):
        tag("label", "", label, for_=f"roadmap-{name}")
        entry = tag("input", "", id=f"roadmap-{name}", name=name, type=kind, **attributes)
        entry.props["value"] = value


def described(schedule: Schedule) -> str:
    """The schedule in a sentence."""
    rest = [DAYS[day] for day in sorted(schedule.rest)]
    free = f", {' and '.join(rest)} free" if rest else ""
    begin = f", from {schedule.at:%H:%M}" if schedule.at else ""
    return (
        f"From {schedule.start:%-d %B %Y}: {schedule.weekday / 60:g} hours on weekdays, "
        f"{schedule.weekend / 60:g} on weekends{free}{begin}."
    )


def schedule_from(form: dict[str, Any]) -> Schedule:
    """What was entered.

    Raises:
        GroundupError: it cannot be read, or nobody could keep it.
    """
    try:
        rest: Sequence[str] = form.get("rest") or []
        return Schedule(
            start=date.fromisoformat(str(form["start"])),
            weekday=round(float(form["weekday"]) * 60),
            weekend=round(float(form["weekend"]) * 60),
            rest=frozenset(int(day) for day in rest),
            at=time.fromisoformat(form["at"]) if form.get("at") else None,
        )
    except GroundupError:
        raise
    except (KeyError, ValueError, OverflowError):
        raise GroundupError("the plan needs a first day, and the hours as numbers") from None


PAGE = Page("/roadmap", "Roadmap", "path", 20, build, "roadmap.css")
