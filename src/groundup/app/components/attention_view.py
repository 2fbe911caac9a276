"""Where a model's heads look."""

from nicegui.element import Element

from groundup.app.reading_order import Reading

__all__ = ["AttentionView"]


class AttentionView(Element, component="attention_view.js"):
    """Event: ``head`` {layer, head}, the one whose map is wanted next."""

    def show(self, reading: Reading) -> None:
        """Show a reading; a head's map is asked for."""
        shares = {"first": reading.first, "previous": reading.previous, "itself": reading.itself}
        self.run_method("setReading", reading.tokens, reading.earlier, shares)

    def show_map(self, layer: int, head: int, rows: list[list[int]]) -> None:
        """Show where one head looks, in thousandths."""
        self.run_method("setMap", layer, head, rows)
