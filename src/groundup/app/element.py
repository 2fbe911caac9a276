"""Plain HTML elements. NiceGUI's own come with Quasar's looks, which the app does not have."""

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from groundup.app.icons import icon

__all__ = ["svg", "tag"]


def tag(
    name: str, classes: str = "", text: str = "", /, **attributes: str | int | bool
) -> TextElement:
    """An element, to be used in ``with`` for what is inside it.

    Args:
        name: of the HTML element.
        classes: of the style sheets.
        text: inside it. Text, never HTML.
        attributes: of the element. ``_`` stands for ``-``: ``aria_label``, ``data_id``. For those
            that are Python's words, add one: ``for_``, ``class_``.
    """
    element = TextElement(tag=name, text=text)
    if classes:
        element.classes(classes)
    for key, value in attributes.items():
        element.props[key.removesuffix("_").replace("_", "-")] = value
    return element


def svg(name: str) -> ui.html:
    """An icon of `icons`."""
    return ui.html(icon(name), sanitize=False, tag="span").style("display: contents")
