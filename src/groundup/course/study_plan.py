"""All that pages and commands show of a learner's plan, read from the workspace once."""

import difflib
from dataclasses import dataclass
from datetime import date

from groundup.course.parts.table import PARTS
from groundup.course.planner import Schedule, Session, Task, roadmap_tasks
from groundup.course.progress import PartProgress, progress
from groundup.course.roadmap import Week, load_roadmap
from groundup.course.study import (
    Plan,
    Record,
    day_of,
    minutes_left,
    minutes_spent,
    planned,
    record,
    schedule_of,
    tasks_done,
)
from groundup.course.workspace import Workspace
from groundup.errors import GroundupError

__all__ = ["StudyPlan", "read_study_plan"]


@dataclass(frozen=True)
class StudyPlan:
    """Where a learner stands on a day. Without a schedule there is no plan yet."""

    today: date
    weeks: tuple[Week, ...]
    tasks: tuple[Task, ...]
    states: dict[str, PartProgress]
    done: set[str]  # ids of tasks
    record: Record
    logged: dict[str, int]  # minutes of today, by task
    schedule: Schedule | None
    plan: Plan | None  # as it was laid out this morning: what is done today does not shift the day

    def task(self, name: str) -> Task:
        """The task of this id.

        Raises:
            GroundupError: there is none; the message suggests the nearest.
        """
        tasks = {task.id: task for task in self.tasks}
        if name in tasks:
            return tasks[name]
        near = difflib.get_close_matches(name, tasks, n=1, cutoff=0.0)
        raise GroundupError(f"there is no task {name!r}: did you mean {near[0]!r}?")

    @property
    def sessions(self) -> tuple[Session, ...]:
        """What is still to do of the plan."""
        planned = () if self.plan is None else self.plan.sessions
        return tuple(session for session in planned if session.task.id not in self.done)

    def finished(self, session: Session) -> bool:
        """Whether a session of today is done, or its minutes were logged."""
        task = session.task.id
        return task in self.done or self.logged.get(task, 0) >= session.minutes

    @property
    def week(self) -> Week:
        """Where the learner is: the first week with anything left, or the last."""
        for task in self.tasks:
            if task.id not in self.done:
                return self.weeks[task.week - 1]
        return self.weeks[-1]


def read_study_plan(workspace: Workspace, today: date) -> StudyPlan:
    """Read events and files, and plan from ``today`` on.

    Raises:
        GroundupError: the workspace is broken; says where.
    """
    weeks = load_roadmap()
    tasks = roadmap_tasks(weeks, {part.id: part.needs for part in PARTS.values()})
    states = progress(workspace)
    events = workspace.events()
    passed = {id for id, state in states.items() if state.ever_passed}
    before = [event for event in events if day_of(event) < today]
    passed_before = {
        event["part"] for event in before if event["event"] == "check" and event["passed"]
    }
    done, done_before = tasks_done(events, passed), tasks_done(before, passed & passed_before)
    schedule = schedule_of(events)
    plan = None
    if schedule is not None:
        plan = planned(tasks, schedule, today, minutes_left(tasks, before, done_before))
    rest = schedule.rest if schedule is not None else ()
    return StudyPlan(
        today,
        weeks,
        tasks,
        states,
        done,
        record(events, today, rest),
        minutes_spent(event for event in events if day_of(event) == today),
        schedule,
        plan,
    )
