"""The page's keyboard, and the dialog that explains it."""

from nicegui.element import Element

from groundup.app.icons import icon

__all__ = ["Shortcuts"]


class Shortcuts(Element, component="shortcuts.js"):
    """Event: ``action`` {action}."""

    def __init__(self, shortcuts: list[tuple[tuple[str, ...], str | None, str]]) -> None:
        """Arguments:
        shortcuts: keys, action, and what it does in words. Without an action, it is only shown.
        """
        super().__init__()
        self._props["icons"] = {"close": icon("close")}
        self._props["shortcuts"] = [
            {"keys": keys, "action": action, "text": text} for keys, action, text in shortcuts
        ]

    def show(self) -> None:
        """Open the dialog."""
        self.run_method("show")
