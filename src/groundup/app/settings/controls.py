"""What the sections are made of: fields, forms that say what is wrong, dialogs, rows' buttons."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from groundup.app.element import tag
from groundup.app.toast import toast
from groundup.errors import GroundupError

__all__ = ["VALUE", "Dialog", "day", "dialog", "field", "form", "row_button", "said", "table_head"]

# What a control did: it returns what is said of that, or raises GroundupError.
Handler = Callable[[dict[str, Any]], Awaitable[str | None]]
Events = Callable[[GenericEventArguments], Awaitable[None]]

VALUE = "(event) => emit({value: event.target.value})"
FIELDS = """(event) => {
    event.preventDefault();
    emit(Object.fromEntries(new FormData(event.target)));
}"""
_NUMBERS = count()  # of elements, for their ids


def said(handler: Handler) -> Events:
    """A control's handler: what it did, and what went wrong, is said at the page's edge."""
    client = ui.context.client

    async def handle(event: GenericEventArguments) -> None:
        try:
            done = await handler(event.args or {})
        except GroundupError as error:
            toast(client, str(error), "bad")
        else:
            if done:
                toast(client, done, "good")

    return handle


def field(
    name: str, label: str, help: str = "", *, required: bool = True, **attributes: str | int
) -> TextElement:
    """An input with its label, which is returned."""
    id = f"field-{next(_NUMBERS)}"
    with tag("div", "field"):
        written = tag("label", "", label, for_=id)
        box = tag("input", "", id=id, name=name, required=required)
        box.props.update({"type": "text", **attributes})
        if help:
            tag("p", "help", help)
    return written


@contextmanager
def form(label: str, handler: Handler, does: str, kind: str = "") -> Iterator[TextElement]:
    """A form with the fields that the block draws. It says what is wrong; what was typed stays.

    Args:
        label: its name for screen readers.
        handler: of the fields.
        does: the text of its button.
        kind: of the button, a class.
    """
    client = ui.context.client
    with tag("form", "stack", aria_label=label) as drawn:
        yield drawn
        problem = tag("p", "banner bad", role="alert")
        problem.set_visibility(False)
        with tag("div", "row actions"):
            tag("button", f"button {kind}", does, type="submit")

    async def submit(event: GenericEventArguments) -> None:
        try:
            done = await handler(event.args)
        except GroundupError as error:
            problem.set_text(str(error))
            problem.set_visibility(True)
        else:
            problem.set_visibility(False)
            if done:
                toast(client, done, "good")

    drawn.on("submit", submit, js_handler=FIELDS)


class Dialog:
    """A form over the page."""

    def __init__(self, element: TextElement) -> None:
        self._element = element

    def open(self) -> None:
        self._element.run_method("showModal")

    def close(self) -> None:
        self._element.run_method("close")


@contextmanager
def dialog(title: str, handler: Handler, does: str, *, danger: bool = False) -> Iterator[Dialog]:
    """A `form` in a dialog, which closes when the handler is done."""
    id = f"dialog-{next(_NUMBERS)}"
    with tag("dialog", "dialog", aria_labelledby=id) as element:
        drawn = Dialog(element)

        async def handle(given: dict[str, Any]) -> str | None:
            done = await handler(given)
            drawn.close()
            return done

        tag("h2", "", title, id=id)
        with form(title, handle, does, "danger" if danger else "primary"):
            yield drawn
    cancel = "(event) => event.target.closest('dialog').close()"
    with element:
        tag("button", "button quiet cancel", "Cancel", type="button").on("click", js_handler=cancel)
    # What was typed is not there the next time.
    element.on("close", js_handler="(event) => event.target.querySelector('form').reset()")


def row_button(text: str, handler: Events, value: str, about: str = "") -> None:
    """A small button of a table's row: it tells ``value``, and is named by ``about`` or that."""
    name = f"{text} {about or value}"
    button = tag("button", "button small quiet", text, type="button", aria_label=name)
    button.on("click", handler, js_handler=f"() => emit({{value: {json.dumps(value)}}})")


def table_head(*names: str) -> None:
    """The heads of a table's columns; a last one is that of buttons."""
    with tag("thead"), tag("tr"):
        for name in names:
            tag("th", "narrow-away" if name in ("Since", "Models") else "", name, scope="col")
        with tag("th", scope="col"):
            tag("span", "visually-hidden", "Change")


def day(seconds: float) -> str:
    """A time as its date, where the server is."""
    return datetime.fromtimestamp(seconds).date().isoformat()
