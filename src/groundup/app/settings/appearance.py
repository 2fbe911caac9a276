"""Light, dark, or as the system is: kept by the browser, as it is of that screen."""

from nicegui import ui

from groundup.app.element import tag
from groundup.app.visitor import Visitor

__all__ = ["draw_appearance"]

THEMES = (("system", "System"), ("light", "Light"), ("dark", "Dark"))


async def draw_appearance(visitor: Visitor) -> None:
    """Draw the section."""
    with tag("fieldset", "segments", id="theme"):
        tag("legend", "", "Theme")
        for value, label in THEMES:
            with tag("label"):
                tag("input", type="radio", name="theme", value=value).on(
                    "change", js_handler="(event) => groundup.theme(event.target.value)"
                )
                tag("span", "", label)
    # Which it is, only the browser knows.
    ui.run_javascript(
        "document.querySelector(`#theme [value=${groundup.chosenTheme()}]`).checked = true"
    )
