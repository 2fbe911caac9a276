"""Tabs of a page: a list of buttons, and a panel for each. Arrow keys move among them."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui.elements.mixins.text_element import TextElement

from groundup.app.element import tag

__all__ = ["TabList"]

MOVE = """(event) => {
  const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!by) return;
  const tabs = [...event.currentTarget.querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(document.activeElement) + by + tabs.length) % tabs.length];
  next.focus();
  next.click();
}"""


class TabList:
    """The list is drawn at once; the page draws the panels."""

    def __init__(
        self, tabs: Mapping[str, str], chosen: str, on_change: Callable[[str], Awaitable[None]]
    ) -> None:
        """Arguments:
        tabs: labels by name.
        chosen: the name of the first that is shown.
        on_change: called with a name when its panel has been shown.
        """
        self.chosen = chosen
        self._on_change = on_change
        self._tabs: dict[str, TextElement] = {}
        self._panels: dict[str, TextElement] = {}
        with tag("div", "tabs", role="tablist") as row:
            for name, label in tabs.items():
                tab = tag("button", "", label, type="button", role="tab", id=f"tab-{name}")
                tab.props["aria-controls"] = f"panel-{name}"
                tab.on("click", lambda name=name: self.choose(name))
                self._tabs[name] = tab
                self._mark(name)
        row.on("keydown", js_handler=MOVE)

    def panel(self, name: str) -> TextElement:
        """The panel of a tab, to be filled."""
        panel = tag("div", "panel", role="tabpanel", id=f"panel-{name}")
        panel.props["aria-labelledby"] = f"tab-{name}"
        panel.set_visibility(name == self.chosen)
        self._panels[name] = panel
        return panel

    async def choose(self, name: str) -> None:
        """Show a tab's panel."""
        before, self.chosen = self.chosen, name
        for each in (before, name):
            self._mark(each)
            self._panels[each].set_visibility(each == name)
        await self._on_change(name)

    def _mark(self, name: str) -> None:
        chosen = name == self.chosen
        self._tabs[name].props["aria-selected"] = "true" if chosen else "false"
        self._tabs[name].props["tabindex"] = 0 if chosen else -1
