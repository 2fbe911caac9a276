"""The learner's folder: their files, their events, and what helps editors and assistants."""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import groundup
from groundup.atomic_write import write_text
from groundup.course.events import Event, append_event, read_events
from groundup.course.parts.table import PARTS, Part
from groundup.course.stub import stub_of
from groundup.errors import GroundupError
from groundup.home import home

__all__ = ["Workspace", "find_workspace", "init_workspace"]

TEMPLATES = ("AGENTS.md", "README.md", "pyproject.toml")


class Workspace:
    """A folder that ``groundup init`` made."""

    def __init__(self, root: Path) -> None:
        """Open the workspace at ``root``.

        Raises:
            GroundupError: it is not one.
        """
        self.root = root
        self.events_file = root / "events.jsonl"
        if not self.events_file.is_file():
            raise GroundupError(f"{root} is not a workspace: make one with `groundup init {root}`")
        if [event["event"] for event in self.events()[:1]] != ["init"]:
            raise GroundupError(
                f"{self.events_file} does not begin with an init event, so {root} is not a "
                f"workspace: make one elsewhere with `groundup init FOLDER`"
            )

    def events(self) -> list[Event]:
        return read_events(self.events_file)

    def log(self, kind: str, **facts: object) -> None:
        """Record an event.

        Raises:
            GroundupError: it cannot be written.
        """
        try:
            append_event(self.events_file, kind, **facts)
        except OSError as error:
            raise _cannot_write(error, self.events_file) from None

    def file(self, part: Part) -> Path:
        """Where the learner writes this part."""
        return self.root / "parts" / f"{part.stem}.py"

    def started_file(self, part: Part) -> Path:
        """As `file`.

        Raises:
            GroundupError: the part has not been started.
        """
        file = self.file(part)
        if not file.is_file():
            raise GroundupError(
                f"there is no {file}: begin this part with `groundup start {part.id}`"
            )
        return file

    def started(self) -> Iterator[Part]:
        """The parts that have a file, the most recently changed first."""
        here = [part for part in PARTS.values() if self.file(part).is_file()]
        yield from sorted(here, key=lambda part: -self.file(part).stat().st_mtime)

    def start(self, part: Part) -> Path:
        """Write the part's stub, unless there is a file already.

        Returns:
            The file.
        """
        file = self.file(part)
        if not file.exists():
            self._write_stub(part)
            self.log("start", part=part.id)
        return file

    def reset(self, part: Part) -> Path:
        """Put the learner's file aside and write the stub anew.

        Returns:
            Where the file is kept now.
        """
        file = self.started_file(part)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        backup = self.root / "backups" / f"{part.stem}-{stamp}.py"
        try:
            backup.parent.mkdir(exist_ok=True)
            shutil.copy2(file, backup)
        except OSError as error:
            raise _cannot_write(error, backup) from None
        self._write_stub(part)
        self.log("reset", part=part.id, backup=backup.name)
        return backup

    def _write_stub(self, part: Part) -> None:
        file = self.file(part)
        try:
            file.parent.mkdir(exist_ok=True)
            write_text(file, stub_of(part.reference.read_text("utf-8")))
        except OSError as error:
            raise _cannot_write(error, file) from None


def init_workspace(root: Path) -> Workspace:
    """Make a workspace, or open the one that is there; files that exist are left as they are.

    Raises:
        GroundupError: the folder holds other things, or cannot be written.
    """
    try:
        root = root.expanduser().resolve()
        pointer = _pointer()
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if root.exists() and not root.is_dir():
            raise GroundupError(f"{root} is a file: name a folder that is new or empty")
        if root.is_dir() and not (root / "events.jsonl").exists():
            # What an interrupted call left is ours, and a hidden file (.git) is in nobody's way.
            others = {p.name for p in root.iterdir() if p.name[0] != "."} - {"parts", *TEMPLATES}
            if others:
                raise GroundupError(f"{root} is not empty: name a folder that is new or empty")
        (root / "parts").mkdir(parents=True, exist_ok=True)
        templates = files(__package__) / "workspace_templates"
        for name in TEMPLATES:
            if not (root / name).exists():
                write_text(root / name, (templates / name).read_text("utf-8"))
        if not (root / "events.jsonl").exists():  # last: with it, the folder is a workspace
            append_event(root / "events.jsonl", "init", version=groundup.__version__)
        workspace = Workspace(root)
        write_text(pointer, f"{root}\n")
    except OSError as error:
        raise _cannot_write(error, root) from None
    except RuntimeError:  # what pathlib raises for a user that is not there
        raise GroundupError(f"{root} names a home folder that is not there") from None
    return workspace


def find_workspace() -> Workspace | None:
    """The workspace around the current folder, else the one that was made or named last.

    ``$GROUNDUP_WORKSPACE`` outweighs both.

    Raises:
        GroundupError: ``$GROUNDUP_WORKSPACE`` names a folder that is not one.
    """
    if named := os.environ.get("GROUNDUP_WORKSPACE"):
        root = Path(named).expanduser().resolve()
        if not (root / "events.jsonl").is_file():
            raise GroundupError(
                f"GROUNDUP_WORKSPACE names {root}, which is not a workspace: correct or unset it"
            )
        return Workspace(root)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "events.jsonl").is_file() and (folder / "parts").is_dir():
            return Workspace(folder)
    if _pointer().is_file():
        root = Path(_pointer().read_text("utf-8").strip())
        if (root / "events.jsonl").is_file():
            return Workspace(root)
    return None


def _pointer() -> Path:
    return home() / "workspace"


def _cannot_write(error: OSError, path: Path) -> GroundupError:
    return GroundupError(f"cannot write {error.filename or path}: {error.strerror}")
