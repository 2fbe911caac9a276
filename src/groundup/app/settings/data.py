"""One's data: out, in, and away."""

import asyncio
from typing import Any

from groundup.app.answers import Changed
from groundup.app.element import svg, tag
from groundup.app.settings.controls import dialog, field, said
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["draw_data"]

# The file goes over HTTP: a page's socket is for small things.
UPLOAD = """async (event) => {
    const input = event.target, file = input.files[0];
    if (!file) return;
    input.disabled = true;
    let answer;
    try {
        answer = await (await fetch("/data/import", {method: "POST", body: file})).json();
    } catch {
        answer = {error: "the file could not be sent: is groundup still running?"};
    }
    input.disabled = false;
    input.value = "";
    emit(answer);
}"""


async def draw_data(visitor: Visitor) -> None:
    """Draw the section."""
    app, user = visitor.app, visitor.user

    async def imported(given: dict[str, Any]) -> str:
        if "error" in given:
            raise GroundupError(str(given["error"]))
        taken, known = int(given["conversations"]), int(given["known"])
        return f"Imported {taken} conversations" + (f"; {known} were here already" if known else "")

    async def wipe(given: dict[str, Any]) -> str:
        if str(given["word"]).strip() != user.name:
            raise GroundupError(f"nothing was deleted: type {user.name} to go on")
        app.answers.stop_all(user.id)
        await asyncio.to_thread(app.store.archive.wipe, user.id)
        app.answers.changes.tell(user.id, Changed(""))
        return "Everything is deleted"

    with tag("div", "row"):
        with tag("a", "button", href="/data/export", download=""):
            svg("download")
            tag("span", "", "Export")
        with tag("label", "button upload"):
            svg("upload")
            tag("span", "", "Import")
            tag("input", "visually-hidden", type="file", accept=".zip").on(
                "change", said(imported), js_handler=UPLOAD
            )
        with tag("button", "button danger", type="button") as button:
            svg("trash")
            tag("span", "", "Delete all")
    tag(
        "p",
        "muted small-text",
        "An export is one .zip of JSON, without passwords and keys. An import adds what it holds "
        "to what is here.",
    )
    with dialog("Delete all your data?", wipe, "Delete all", danger=True) as asking:
        tag(
            "p",
            "",
            "All your conversations, folders, ratings and settings are deleted for good. What you "
            "learned and built in your workspace stays, and so do backups that were made before "
            "updates.",
        )
        field("word", f"Type {user.name} to go on", autocomplete="off")
    button.on("click", asking.open)
