"""A text's tokens and their probabilities."""

from collections.abc import Sequence
from dataclasses import asdict

from nicegui.element import Element

from groundup.app.token_chance import TokenChance

__all__ = ["TokenView"]


class TokenView(Element, component="token_view.js"):
    """Tokens may be added while they come."""

    def show(self, chances: Sequence[TokenChance], *, live: bool = False) -> None:
        """Show these; ``live``: more of them will come."""
        self.run_method("setTokens", [asdict(chance) for chance in chances], live)

    def add(self, chances: Sequence[TokenChance], *, live: bool = True) -> None:
        """Show these behind the others."""
        self.run_method("addTokens", [asdict(chance) for chance in chances], live)
