"""Learners' files in the place of the library's modules.

A finder at the front of ``sys.meta_path`` answers for the names of swapped modules, so whatever
imports them gets the learner's. There is no indirection when they are called.
"""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from groundup.course.parts.table import Part
from groundup.course.progress import State, progress
from groundup.course.workspace import Workspace, find_workspace
from groundup.errors import GroundupError

__all__ = ["Swaps", "current_swaps", "find_swaps", "install_swaps", "swap_in", "swap_out"]

# Where parts are that generate and train, and what holds on to them.
ROOMS = ("scratch", "tokenizers", "models", "training", "quantization", "engine", "tuning")
# Why a file that was swapped in does not serve, and which command mends that; by its state.
WHY_NOT: dict[State, tuple[str, str]] = {
    "not started": ("is gone", "start"),
    "passed older checks": ("passed, but the checks have changed since", "check"),
}


def swap_in(workspace: Workspace, part: Part) -> None:
    """Record that the learner's part is to serve, from the next start of whatever generates.

    Raises:
        GroundupError: its file has not passed as it is now.
    """
    state = progress(workspace)[part.id].state
    if state != "passed":
        raise GroundupError(
            f"your {part.id} cannot be swapped in, its state is {state!r}: it has to pass "
            f"`groundup check {part.id}` as it is now"
        )
    workspace.log("swap", part=part.id)


def swap_out(workspace: Workspace, part: Part) -> None:
    """Record that the library's own part is to serve again.

    Raises:
        GroundupError: the learner's is not swapped in.
    """
    if not progress(workspace)[part.id].swapped:
        raise GroundupError(f"your {part.id} is not swapped in: there is nothing to undo")
    workspace.log("unswap", part=part.id)


class Swaps(MetaPathFinder):
    """The parts that are the learner's own in this process."""

    def __init__(self, files: dict[str, tuple[Part, Path, str]], problems: list[str]) -> None:
        self._files = files  # by module name: the part, the learner's file, its hash when it passed
        self.problems = problems  # why a part that was swapped is the reference's after all

    @property
    def parts(self) -> list[Part]:
        """The parts that the learner's code serves."""
        return [part for part, _, _ in self._files.values()]

    @property
    def hashes(self) -> dict[str, str]:
        """Of the learner's files, by part."""
        return {part.id: passed for part, _, passed in self._files.values()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._files:
            return None
        _, file, _ = self._files[fullname]
        return importlib.util.spec_from_loader(fullname, _LearnersFile(self), origin=str(file))

    def run(self, module: ModuleType) -> None:
        """Fill a module from the learner's file, or from the reference where that fails."""
        part, file, passed = self._files[module.__name__]
        empty = dict(vars(module))
        try:
            source = file.read_bytes()
            if hashlib.sha256(source).hexdigest() != passed:
                raise ImportError("it changed since it passed")
            module.__file__ = str(file)
            exec(compile(source, str(file), "exec"), vars(module))
        except (Exception, SystemExit) as error:  # a broken file never stops the app
            self._give_up(module.__name__, error)
            vars(module).clear()
            vars(module).update(empty, __file__=str(part.reference))
            exec(compile(part.reference.read_bytes(), str(part.reference), "exec"), vars(module))

    def blame(self, error: BaseException) -> bool:
        """Whether a learner's code may have caused ``error``; the reference then takes its place.

        The parts whose files the error passed through are to blame. If there are none, all are:
        a wrong result breaks what is done with it. If it was the library after all, the same error
        comes again.

        Modules that hold on to the learner's are forgotten, and have to be imported anew.
        """
        through = [name for name in self._files if self._line(name, error)]
        guilty = through or list(self._files)
        for name in guilty:
            self._give_up(name, error)
        if guilty:
            rooms = tuple(f"groundup.{room}" for room in ROOMS)
            for name in [name for name in sys.modules if name.startswith(rooms)]:
                del sys.modules[name]
        return bool(guilty)

    def _line(self, name: str, error: BaseException) -> int | None:
        """The last line of the learner's file that an error passed through, if any."""
        _, file, _ = self._files[name]
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        return lines[-1] if lines else None

    def _give_up(self, name: str, error: BaseException) -> None:
        line = self._line(name, error)
        part, file, _ = self._files.pop(name)
        where = f" at line {line}" if line else ""
        what = " ".join(f"{type(error).__name__}: {error}".split())
        self.problems.append(
            f"{part.id}: your {file.name} failed{where} ({what}), so the reference serves"
        )


class _LearnersFile(Loader):
    def __init__(self, swaps: Swaps) -> None:
        self._swaps = swaps

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._swaps.run(module)


def find_swaps(workspace: Workspace | None) -> Swaps:
    """The learner's parts that are swapped in and pass as they are now; not yet in place."""
    files: dict[str, tuple[Part, Path, str]] = {}
    problems: list[str] = []
    if workspace is None:
        return Swaps(files, problems)
    for state in progress(workspace).values():
        if not state.swapped:
            continue
        part, file = state.part, workspace.file(state.part)
        if state.state == "passed" and state.sha256:
            files[part.module] = (part, file, state.sha256)
        else:
            what, command = WHY_NOT.get(state.state, ("has changed and not passed since", "check"))
            problems.append(
                f"{part.id}: your {file.name} {what}, so the reference serves: "
                f"run `groundup {command} {part.id}`"
            )
    return Swaps(files, problems)


def current_swaps() -> Swaps:
    """Those of the workspace in use. A workspace that is broken is a problem of theirs, no error.

    What serves others goes on with the reference then.
    """
    try:
        return find_swaps(find_workspace())
    except (GroundupError, OSError) as error:
        return Swaps({}, [f"{error} (the reference serves)"])


def install_swaps(swaps: Swaps) -> Swaps:
    """Put them in place, before the library is imported.

    Raises:
        RuntimeError: a module that is to be swapped was imported before.
    """
    for part in swaps.parts:
        if part.module in sys.modules:
            raise RuntimeError(f"{part.module} was imported before it could be swapped")
    sys.meta_path.insert(0, swaps)
    return swaps
