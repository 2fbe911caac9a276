"""An editor of Python for a file that others may edit too."""

from pathlib import Path

from nicegui.element import Element
from nicegui.elements import codemirror

from groundup.course.edit import Edition

__all__ = ["CodeEditor"]


class CodeEditor(
    Element,
    component="code_editor.js",
    esm={"nicegui-codemirror": str(Path(codemirror.__file__).parent / "dist")},
):
    """NiceGUI's CodeMirror, with a word to the server only when the writer pauses.

    It knows from which version of the file its text began, and says so with each ``save``. Until
    the server answers `saved`, the text is kept in the browser too, and comes back with the page.

    Events: ``save`` {text, base}; ``check``, for Ctrl+Enter.
    """

    def __init__(self, edition: Edition, name: str) -> None:
        """Arguments:
        edition: what the file holds.
        name: of the file, for screen readers, and for what the browser keeps.
        """
        super().__init__()
        self._props.update(text=edition.text, version=edition.version, name=name)

    def saved(self, version: str) -> None:
        """What was sent is the file's text now, and this its version."""
        self.run_method("saved", version)

    def follow(self, edition: Edition) -> None:
        """The file changed elsewhere. A text with changes of its own is not touched."""
        self._props.update(text=edition.text, version=edition.version)
        self.run_method("follow", edition.text, edition.version)

    def conflicted(self) -> None:
        """The file changed elsewhere as well: nothing is sent until `take`."""
        self.run_method("conflicted")

    def refused(self, problem: str) -> None:
        """The text could not be written."""
        self.run_method("refused", problem)

    def take(self, edition: Edition) -> None:
        """Show this, whatever stands there."""
        self._props.update(text=edition.text, version=edition.version)
        self.run_method("take", edition.text, edition.version)

    async def flush(self) -> bool:
        """Send what was not sent yet. Whether everything is saved."""
        return bool(await self.run_method("flush", timeout=10))

    def reveal(self, line: int) -> None:
        """Put the cursor into a line, from 1."""
        self.run_method("reveal", line)
