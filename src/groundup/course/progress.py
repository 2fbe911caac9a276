"""Where a learner stands with each part, derived from the workspace's events and files."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundup.course.parts.table import PARTS, Part
from groundup.course.roadmap import Week
from groundup.course.workspace import Workspace

__all__ = ["PartProgress", "State", "checks_sha256", "next_part", "progress", "sha256"]

State = Literal[
    "not started", "started", "failing", "passed", "changed since it passed", "passed older checks"
]


@dataclass(frozen=True)
class PartProgress:
    """One part in one workspace, now."""

    part: Part
    sha256: str | None  # of the learner's file; None without one
    state: State
    ever_passed: bool  # some version of the file passed the checks as they are now
    swapped: bool  # the learner wants their file in the place of the reference
    checks: int  # how often it was checked
    hints: int  # levels shown
    solution_seen: bool


def sha256(file: Path) -> str:
    """The hash of a file's content, as events record it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def checks_sha256(part: Part) -> str:
    """The hash of what decides whether the part passes: its checks, and how they compare."""
    compare = Path(__file__).parent / "grader" / "compare.py"
    checks = part.folder / "checks.py"
    return hashlib.sha256(checks.read_bytes() + compare.read_bytes()).hexdigest()


def progress(workspace: Workspace) -> dict[str, PartProgress]:
    """The state of every part of the table, by id."""
    events = workspace.events()
    found = {}
    for part in PARTS.values():
        own = [event for event in events if event.get("part") == part.id]
        checks = [event for event in own if event["event"] == "check"]
        current = checks_sha256(part)
        # The last verdict on a file counts, a pass only while the checks are those it was won by.
        verdicts = {(e["sha256"], e["checks_sha256"]): e["passed"] for e in checks}
        passes = {file for (file, by), passed in verdicts.items() if passed and by == current}
        judged = {file for file, by in verdicts if by == current}
        older = {file for (file, _), passed in verdicts.items() if passed} - judged
        wanted = [event["event"] for event in own if event["event"] in ("swap", "unswap")]
        hints = [event["level"] for event in own if event["event"] == "hint"]
        file = workspace.file(part)
        now = sha256(file) if file.is_file() else None
        found[part.id] = PartProgress(
            part,
            now,
            state=_state(now, passes, older, checked=bool(checks)),
            ever_passed=bool(passes),
            swapped=wanted[-1:] == ["swap"],
            checks=len(checks),
            hints=max(hints, default=0),
            solution_seen=any(event["event"] == "solution" for event in own),
        )
    return found


def next_part(
    weeks: Iterable[Week], states: Mapping[str, PartProgress]
) -> tuple[Week, PartProgress] | None:
    """The first part of the roadmap that never passed, and its week; None when all have."""
    for week in weeks:
        for planned in week.parts:
            state = states.get(planned.id)  # None: the library does not have it yet
            if state is not None and not state.ever_passed:
                return week, state
    return None


def _state(file: str | None, passes: set[str], older: set[str], checked: bool) -> State:
    if file is None:
        return "not started"
    if file in passes:
        return "passed"
    if file in older:
        return "passed older checks"
    if passes:
        return "changed since it passed"
    return "failing" if checked else "started"
