"""The labs: a list of all parts, and for each of them a page to build it in."""

import asyncio

from groundup.app.element import tag
from groundup.app.lab import draw_lab
from groundup.app.lab_list import draw_lab_list
from groundup.app.page import Page
from groundup.app.visitor import Visitor
from groundup.app.workspace_offer import (
    draw_if_not_theirs,
    draw_workspace_offer,
    found_workspace,
)
from groundup.course.parts.table import PARTS, part_named
from groundup.course.progress import progress
from groundup.course.roadmap import load_roadmap
from groundup.errors import GroundupError

__all__ = ["PAGE"]


async def build(visitor: Visitor) -> None:
    """The list, or the part that the address names."""
    if draw_if_not_theirs(visitor):
        return
    if visitor.rest:
        try:
            part = part_named(visitor.rest)
        except GroundupError as error:
            with tag("div", "empty"):
                tag("h1", "", "No such part")
                tag("p", "", str(error))
                tag("a", "button", "All parts", href="/labs")
            return
        await draw_lab(visitor.app, part)
        return
    workspace, problem = await asyncio.to_thread(found_workspace, visitor.app)
    states = {} if workspace is None else await asyncio.to_thread(progress, workspace)
    with tag("div", "sheet"):
        with tag("header"):
            tag("h1", "", "Labs")
            done = sum(state.ever_passed for state in states.values())
            passed = f" You have passed {done} of {len(PARTS)}." if states else ""
            tag(
                "p", "",
                "Each part is a small file of the library. Write your own; when it passes its "
                f"checks, the app can run on it.{passed}",
            )  # fmt: skip
        if workspace is None:
            draw_workspace_offer(problem)
        summaries = {part.id: part.summary for part in PARTS.values()}
        draw_lab_list(load_roadmap(), summaries, states)


PAGE = Page("/labs", "Labs", "flask", 30, build, "labs.css")
