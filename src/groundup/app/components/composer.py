"""Where a message is written."""

from nicegui.element import Element

from groundup.app.icons import icon

__all__ = ["Composer"]


class Composer(Element, component="composer.js"):
    """Keeps the text until `sent` is called. Events: ``send`` {text}; ``stop``; ``edit-last``."""

    def __init__(self, longest: int) -> None:
        """Arguments:
        longest: characters that a message may have.
        """
        super().__init__()
        self._props["icons"] = {name: icon(name) for name in ("send", "stop")}
        self._props["longest"] = longest

    def show(self, *, conversation: str, model: str, streaming: bool) -> None:
        """Say what is written to, and whether an answer is on its way there."""
        new = {"conversation": conversation, "model": model, "streaming": streaming}
        if any(self._props.get(name) != value for name, value in new.items()):
            self._props.update(new)
            self.update()

    def write(self, text: str) -> None:
        """Put a text into the box; it is not sent."""
        self.run_method("write", text)

    def sent(self) -> None:
        """The message is kept: the box is emptied."""
        self.run_method("sent")

    def refused(self, problem: str) -> None:
        """The message is not kept: the text stays, and this is said of it."""
        self.run_method("refused", problem)

    def focus(self) -> None:
        self.run_method("focus")
