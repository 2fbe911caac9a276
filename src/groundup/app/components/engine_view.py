"""An engine at work."""

from typing import Any

from nicegui.element import Element

__all__ = ["EngineView"]


class EngineView(Element, component="engine_view.js"):
    """Keeps the steps that it was shown."""

    def show(self, view: dict[str, Any] | None) -> None:
        """Show a view, as GET /inside tells it; None shows nothing."""
        self.run_method("setView", view)
