"""What pages of learning show where there is no workspace, or a broken one."""

import asyncio
import os
from pathlib import Path

from nicegui import ui

from groundup.app.application import App
from groundup.app.element import svg, tag
from groundup.app.toast import toast
from groundup.app.visitor import Visitor
from groundup.course.workspace import Workspace, init_workspace
from groundup.errors import GroundupError

__all__ = ["draw_if_not_theirs", "draw_workspace_offer", "found_workspace"]


def draw_if_not_theirs(visitor: Visitor) -> bool:
    """Whether the workspace is not the visitor's to see, which is then said.

    It belongs to whoever runs the app, and what is written into it runs on their machine.
    """
    if visitor.user.role == "admin":
        return False
    with tag("div", "empty"):
        tag("h1", "", "Learning happens at home")
        tag("p", "", "The workspace here belongs to the one who runs this groundup. Install your "
            "own to build the parts.")  # fmt: skip
    return True


def found_workspace(app: App) -> tuple[Workspace | None, str]:
    """The learner's workspace, or why there is none: what is wrong with it; nothing wrong is ""."""
    try:
        workspace = app.workspace
        if workspace is not None:
            workspace.events()  # a damaged record is known here
        return workspace, ""
    except (GroundupError, OSError) as error:
        return None, str(error)


def draw_workspace_offer(problem: str) -> None:
    """Say what is wrong, and offer to make a workspace where that helps."""
    named = os.environ.get("GROUNDUP_WORKSPACE")
    missing = named is not None and not Path(named).expanduser().exists()
    if problem and not missing:
        with tag("div", "banner bad", role="alert"):
            svg("alert")
            with tag("div", "stack"):
                tag("strong", "", "Your workspace cannot be read")
                tag("span", "", problem)
        return
    client = ui.context.client
    with tag("form", "card stack workspace-offer") as form:
        tag("h2", "", "Make a workspace")
        tag(
            "p", "muted",
            "A folder of your own, in which you build the parts and which keeps the record of what "
            "you did. Any editor can open it; this page and the command line share it.",
        )  # fmt: skip
        with tag("div", "field"):
            tag("label", "", "Folder, new or empty", for_="workspace-folder")
            folder = tag("input", "", id="workspace-folder", type="text", autocomplete="off")
            folder.props["value"] = named or str(Path.cwd() / "workspace")
        tag("button", "button primary", "Make it", type="submit")

    async def make(event: object) -> None:
        try:
            text = str(getattr(event, "args", "")).strip()
            if not text:
                raise GroundupError("give the folder a name")
            await asyncio.to_thread(init_workspace, Path(text))
        except GroundupError as error:
            toast(client, str(error), "bad")
        else:
            ui.navigate.reload()

    form.on(
        "submit.prevent",
        make,
        js_handler="(event) => emit(event.target.querySelector('input').value)",
    )
