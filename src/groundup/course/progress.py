"""Where a learner stands with each part, derived from the workspace's events and files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundup.course.parts.table import PARTS, Part
from groundup.course.workspace import Workspace

__all__ = ["PartProgress", "State", "checks_sha256", "progress", "sha256"]

State = Literal["not started", "started", "failing", "passed", "changed since it passed"]


@dataclass(frozen=True)
class PartProgress:
    """One part in one workspace, now."""

    part: Part
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
        # A pass counts while the checks are the ones it was won against.
        passes = {e["sha256"] for e in checks if e["passed"] and e["checks_sha256"] == current}
        wanted = [event["event"] for event in own if event["event"] in ("swap", "unswap")]
        hints = [event["level"] for event in own if event["event"] == "hint"]
        found[part.id] = PartProgress(
            part,
            state=_state(workspace.file(part), passes, checked=bool(checks)),
            ever_passed=bool(passes),
            swapped=wanted[-1:] == ["swap"],
            checks=len(checks),
            hints=max(hints, default=0),
            solution_seen=any(event["event"] == "solution" for event in own),
        )
    return found


def _state(file: Path, passes: set[str], checked: bool) -> State:
    if not file.is_file():
        return "not started"
    if sha256(file) in passes:
        return "passed"
    if passes:
        return "changed since it passed"
    return "failing" if checked else "started"
