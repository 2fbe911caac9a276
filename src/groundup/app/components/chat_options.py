"""The panel of a conversation's options."""

from collections.abc import Mapping
from dataclasses import asdict

from nicegui.element import Element

from groundup.app.icons import icon
from groundup.app.sampling_options import SAMPLING_OPTIONS

__all__ = ["ChatOptions"]


class ChatOptions(Element, component="chat_options.js"):
    """Events: ``change`` {system, sampling}; ``close``; ``export-preferences``."""

    def __init__(self) -> None:
        super().__init__()
        self._props["icons"] = {name: icon(name) for name in ("close", "download")}
        self._props["fields"] = [asdict(option) for option in SAMPLING_OPTIONS]

    def show(self, system: str, sampling: Mapping[str, float], rated: int) -> None:
        """Show these values."""
        self.run_method("setOptions", system, dict(sampling), rated)

    def refused(self, problem: str) -> None:
        """Say why a change is not kept."""
        self.run_method("refused", problem)

    def focus(self) -> None:
        self.run_method("focus")
