"""Pictures that one can change: what they ask for, and how they are shown."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from groundup.app.application import App
from groundup.app.element import tag
from groundup.app.toast import toast
from groundup.errors import GroundupError

__all__ = ["Picture", "Slider", "Text", "draw_picture"]

# Beside a slider stands its value.
SHOW_VALUE = """(event) => {
    const output = event.target.closest(".field").querySelector("output");
    if (output) output.textContent = ` ${event.target.value}`;
}"""
VALUES = "(event) => emit(Object.fromEntries(new FormData(event.currentTarget)))"
TEXT = 300  # characters that can be asked about


@dataclass(frozen=True)
class Text:
    """Something to write."""

    name: str
    label: str
    value: str


@dataclass(frozen=True)
class Slider:
    """A number to choose."""

    name: str
    label: str
    value: float
    least: float
    most: float  # until what is computed knows better, by its "limits"
    step: float = 1


@dataclass(frozen=True)
class Picture:
    """A picture of a lesson. Its file has ``compute`` as well, which runs in a process of its own.

    What ``compute`` returns may have "limits": the greatest value of a slider, by name.
    """

    part: str  # the id of the part to which it belongs
    says: str  # what there is to see
    fields: tuple[Text | Slider, ...]
    html: Callable[[dict[str, Any]], str]  # safe HTML of what was computed


def draw_picture(app: App, name: str, picture: Picture) -> None:
    """Its fields, and the picture below them once it is asked for: then it follows each change.

    Args:
        app: whose model is looked at.
        name: of the picture's file.
        picture: what is drawn.
    """
    client = ui.context.client
    sliders: dict[str, ui.element] = {}
    tag("p", "muted", picture.says)
    with tag("form", "picture-form", autocomplete="off") as form:
        for field in picture.fields:
            with tag("div", "field"):
                with tag("label", "", field.label, for_=f"picture-{field.name}"):
                    if isinstance(field, Slider):
                        tag("output", "muted figure", f" {field.value:g}")
                if isinstance(field, Text):
                    entry = tag("input", "", type="text", maxlength=TEXT)
                else:
                    entry = tag("input", "", type="range", step=str(field.step))
                    entry.props["min"], entry.props["max"] = field.least, field.most
                    sliders[field.name] = entry
                entry.props.update(
                    {"id": f"picture-{field.name}", "name": field.name, "value": field.value}
                )
        button = tag("button", "button primary small", "Draw it", type="submit")
    state = tag("p", "row muted picture-state", role="status")
    place = ui.html("", sanitize=False).classes("picture")
    wanted: list[dict[str, str]] = []  # at most the latest that was not computed yet
    drawn = asyncio.Event()
    busy = asyncio.Lock()

    async def show(event: GenericEventArguments) -> None:
        wanted[:] = [dict(event.args)]
        if busy.locked():
            return  # whoever holds it takes up what is wanted
        async with busy:
            if not drawn.is_set():
                state.set_text("Loading the model")
            while wanted:
                await compute(wanted.pop())
            state.set_text("")

    async def compute(entered: dict[str, str]) -> None:
        try:
            found = await app.reader.picture(app.model, name, values_of(picture, entered))
        except GroundupError as error:
            toast(client, str(error), "bad")
            return
        for slider, most in found.get("limits", {}).items():
            if sliders[slider].props["max"] != most:  # its value is sent with it
                sliders[slider].props.update(max=most, value=entered[slider])
        place.set_content(picture.html(found))
        if not drawn.is_set():
            drawn.set()
            button.delete()

    async def follow(event: GenericEventArguments) -> None:
        if drawn.is_set():  # before that, nobody asked for it
            await show(event)

    form.on("input", js_handler=SHOW_VALUE)
    form.on("input", follow, js_handler=VALUES, throttle=0.15)
    form.on("submit.prevent", show, js_handler=VALUES)


def values_of(picture: Picture, form: dict[str, str]) -> dict[str, str | float]:
    """What was entered; what is not a number is the field's first value.

    Raises:
        GroundupError: a text is too long.
    """
    values: dict[str, str | float] = {}
    for field in picture.fields:
        entered = form.get(field.name, field.value)
        if isinstance(field, Text):
            values[field.name] = str(entered)
            if len(str(entered)) > TEXT:
                raise GroundupError(f"write at most {TEXT} characters")
        else:
            try:
                values[field.name] = max(float(entered), field.least)
            except ValueError:
                values[field.name] = field.value
    return values
