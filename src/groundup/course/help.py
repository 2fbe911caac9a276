"""Help with a part, level by level. What was shown is recorded."""

from groundup.course.parts.table import Part
from groundup.course.progress import progress
from groundup.course.workspace import Workspace

__all__ = ["hints", "show_next_hint", "show_solution"]


def hints(part: Part) -> list[str]:
    """The part's hints as Markdown, from where to start to nearly there."""
    return (part.folder / "hints.md").read_text("utf-8").split("## ")[1:]


def show_next_hint(workspace: Workspace, part: Part) -> tuple[int, str]:
    """The level, from 1, and the text of the hint that follows those seen; the last one repeats."""
    texts = hints(part)
    level = min(progress(workspace)[part.id].hints + 1, len(texts))
    workspace.log("hint", part=part.id, level=level)
    return level, texts[level - 1]


def show_solution(workspace: Workspace, part: Part) -> str:
    """The reference's source."""
    workspace.log("solution", part=part.id)
    return part.reference.read_text("utf-8")
