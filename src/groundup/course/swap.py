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

from groundup.course.parts.table import PARTS, Part
from groundup.course.progress import progress, sha256
from groundup.course.workspace import Workspace

__all__ = ["Swaps", "install_swaps"]


class Swaps(MetaPathFinder):
    """The parts that are the learner's own in this process."""

    def __init__(self, files: dict[str, tuple[Part, Path, str]], problems: list[str]) -> None:
        self._files = files  # by module name: the part, the learner's file, its hash when it passed
        self.problems = problems  # why a part that was swapped is the reference's after all

    @property
    def parts(self) -> list[Part]:
        """The parts that the learner's code serves."""
        return [part for part, _, _ in self._files.values()]

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
        try:
            source = file.read_bytes()
            if hashlib.sha256(source).hexdigest() != passed:
                raise ImportError("it changed since it passed")
            module.__file__ = str(file)
            exec(compile(source, str(file), "exec"), vars(module))
        except Exception as error:  # whatever it is: a broken file never stops the app
            self._give_up(module.__name__, f"{type(error).__name__}: {error}")
            exec(compile(part.reference.read_bytes(), str(part.reference), "exec"), vars(module))

    def blame(self, error: BaseException) -> bool:
        """Whether an error passed through a learner's file; that part is then the reference's.

        Modules that hold on to the learner's are forgotten, and have to be imported anew.
        """
        frames = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        guilty = [name for name, (_, file, _) in self._files.items() if str(file) in frames]
        for name in guilty:
            self._give_up(name, f"{type(error).__name__}: {error}")
        if guilty:
            rooms = ("groundup.tokenizers", "groundup.models", "groundup.engine")
            for name in [name for name in sys.modules if name.startswith(rooms)]:
                del sys.modules[name]
        return bool(guilty)

    def _give_up(self, name: str, why: str) -> None:
        part, file, _ = self._files.pop(name)
        self.problems.append(
            f"{part.id}: your {file.name} does not serve ({why}); the reference does"
        )


class _LearnersFile(Loader):
    def __init__(self, swaps: Swaps) -> None:
        self._swaps = swaps

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._swaps.run(module)


def install_swaps(workspace: Workspace | None) -> Swaps:
    """Put the learner's passed and swapped parts in place, before the library is imported.

    Raises:
        RuntimeError: a module that is to be swapped was imported before.
    """
    files: dict[str, tuple[Part, Path, str]] = {}
    problems: list[str] = []
    if workspace is not None:
        for part_id, state in progress(workspace).items():
            part = PARTS[part_id]
            file = workspace.file(part)
            if not state.swapped:
                continue
            if state.state != "passed":
                what = {"not started": "is gone"}.get(state.state, "has changed and not passed since")
                problems.append(
                    f"{part.id}: your {file.name} {what}, so the reference serves: "
                    f"run `groundup check {part.id}`"
                )
            elif part.module in sys.modules:
                raise RuntimeError(f"{part.module} was imported before it could be swapped")
            else:
                files[part.module] = (part, file, sha256(file))
    swaps = Swaps(files, problems)
    sys.meta_path.insert(0, swaps)
    return swaps
