"""The model that new conversations begin with."""

import asyncio
from typing import Any

from groundup.app.element import tag
from groundup.app.model_choice import short_name
from groundup.app.preferences import preferred_model
from groundup.app.settings.controls import VALUE, said
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["draw_model"]


async def draw_model(visitor: Visitor) -> None:
    """Draw the section."""
    app, user = visitor.app, visitor.user.id
    models = await asyncio.to_thread(app.offered_models)
    chosen = await asyncio.to_thread(preferred_model, app.store, user)

    async def choose(given: dict[str, Any]) -> str:
        model = str(given["value"])
        if model and model not in await asyncio.to_thread(app.offered_models):
            raise GroundupError(f"{model[:80]} is not offered any more: reload the page")
        await asyncio.to_thread(app.store.settings.put, user, "model", model)
        return "Saved"

    with tag("div", "field"):
        tag("label", "", "Default model", for_="default-model")
        with tag("select", "", id="default-model") as select:
            tag("option", "", f"{short_name(app.model)} (as the app was started)", value="")
            for model in dict.fromkeys([*models, *([chosen] if chosen else [])]):
                tag("option", "", model, value=model)
        select.props["value"] = chosen or ""
        select.on("change", said(choose), js_handler=VALUE)
        tag("p", "help", "Conversations that have begun keep theirs.")
