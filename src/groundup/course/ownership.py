"""What share of the library is the learner's own."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import groundup
from groundup.course.parts.table import PARTS
from groundup.course.progress import PartProgress

__all__ = ["Ownership", "ownership"]

NOT_THE_STACK = ("app", "cli", "course")  # rooms that teach and show; nobody rebuilds them


@dataclass(frozen=True)
class Ownership:
    """Parts that run from the learner's files, of all parts; lines that these stand for, of all."""

    parts: int
    all_parts: int
    lines: int
    all_lines: int


def ownership(states: Iterable[PartProgress]) -> Ownership:
    """Counted are the parts that are swapped in and pass as they are now.

    Lines are those of the library with something in them, in the modules that parts replace and in
    all rooms but those of the course and the app. The learner's own lines are not counted: a longer
    file is no larger share.
    """
    own = [s.part for s in states if s.swapped and s.state == "passed"]
    lines = sum(_lines(part.reference) for part in own)
    return Ownership(len(own), len(PARTS), lines, _all_lines())


@cache
def _all_lines() -> int:
    root = Path(groundup.__file__).parent
    rooms = (f for f in root.iterdir() if f.is_dir() and f.name not in NOT_THE_STACK)
    return sum(_lines(file) for room in rooms for file in room.rglob("*.py"))


def _lines(file: Path) -> int:
    return sum(bool(line.strip()) for line in file.read_text("utf-8").splitlines())
