"""Endpoints elsewhere, for admins: their keys go in, and do not come out."""

import asyncio
from typing import Any

from groundup.app.account_changes import require_admin
from groundup.app.element import svg, tag
from groundup.app.endpoints import Remote, offered_models
from groundup.app.settings.controls import dialog, field, row_button, said, table_head
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["draw_endpoints"]


async def draw_endpoints(visitor: Visitor) -> None:
    """Draw the section."""
    app, user = visitor.app, visitor.user.id

    async def save(given: dict[str, Any]) -> str:
        await asyncio.to_thread(require_admin, app.store, user)
        name, url, key = str(given["name"]).strip(), str(given["base_url"]), str(given["key"])
        models = tuple(filter(str.strip, str(given["models"]).splitlines()))
        models = models or tuple(await offered_models(Remote(name, url, key)))
        await asyncio.to_thread(app.endpoints.put, Remote(name, url, key, models))
        await show()
        return f"Saved, with {len(models)} models"

    async def remove(given: dict[str, Any]) -> str:
        await asyncio.to_thread(require_admin, app.store, user)
        await asyncio.to_thread(app.endpoints.remove, str(given["value"]))
        await show()
        return "Removed, with its key"

    async def show() -> None:
        listed.clear()
        with listed:
            try:
                remotes = await asyncio.to_thread(app.endpoints.all)
            except GroundupError as error:
                tag("p", "banner bad", str(error))
                return
            if not remotes:
                tag("p", "muted", "There are none: all models run on this machine.")
                return
            with tag("table", "table"):
                table_head("Endpoint", "Key", "Models")
                with tag("tbody"):
                    for remote in remotes:
                        draw_row(remote)

    def draw_row(remote: Remote) -> None:
        with tag("tr"):
            with tag("td"):
                tag("div", "", remote.name)
                tag("div", "muted small-text", remote.base_url)
                if remote.is_exposed:
                    tag("span", "chip warn", "The key travels unencrypted")
            tag("td", "mono", remote.masked_key or "none")
            tag("td", "narrow-away", str(len(remote.models)), title=", ".join(remote.models))
            with tag("td", "number"):
                row_button("Remove", removing, remote.name)

    removing = said(remove)
    listed = tag("div", "scroll-x")
    await show()
    with dialog("Endpoint", save, "Save") as adding:
        field("name", "Name", autocomplete="off", placeholder="openai", maxlength=64)
        field("base_url", "URL", type="url", autocomplete="off", placeholder="https://host/v1")
        where = "Kept in a file that only the user of this machine can read."
        field("key", "Key", where, type="password", autocomplete="off", required=False)
        with tag("div", "field"):
            tag("label", "", "Models", for_="endpoint-models")
            tag("textarea", "", id="endpoint-models", name="models", rows=3)
            tag("p", "help", "One a line. Empty: all that the endpoint offers.")
    with tag("div", "row"), tag("button", "button", type="button") as button:
        svg("plus")
        tag("span", "", "Add endpoint")
    button.on("click", adding.open)
