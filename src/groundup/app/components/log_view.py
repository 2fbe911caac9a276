"""Lines of a log."""

from collections.abc import Sequence

from nicegui.element import Element

from groundup.app.icons import icon

__all__ = ["LogView"]


class LogView(Element, component="log_view.js"):
    """Lines are sent only where they changed."""

    def __init__(self) -> None:
        super().__init__()
        self._props["icons"] = {name: icon(name) for name in ("copy", "search")}
        self._lines: list[str] | None = None

    def show(self, lines: Sequence[str]) -> None:
        """Show these in the place of those before."""
        if lines != self._lines:
            self._lines = list(lines)
            self.run_method("setLines", self._lines)
