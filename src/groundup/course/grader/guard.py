"""Watches a learner's code while it is checked.

This is against accidents and shortcuts, which it names; it is no prison. Code runs with the rights
of the learner, whose own machine it is, and Python has no secrets from code that walks its frames.
"""

import builtins
import functools
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F

from groundup.course.grader import compare
from groundup.course.parts.table import Part

__all__ = ["ForbiddenAct", "Guard", "dispatched"]

COURSE = "groundup.course"
# With these, a part that is to be written in NumPy would be a call.
FRAMEWORKS = frozenset({"autograd", "jax", "scipy", "sklearn", "tensorflow", "torch"})

# Audit events, each with what it tells. https://docs.python.org/3/library/audit_events.html
REFUSED = {
    event: act
    for act, events in {
        "starts another process": (
            "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
            "pty.spawn", "subprocess.Popen",
        ),
        "opens a network connection": (
            "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
            "socket.sendmsg", "socket.sendto",
        ),
        "sends a signal to a process": ("os.kill", "os.killpg"),
        "changes files or folders": (
            "os.chmod", "os.link", "os.remove", "os.rename", "os.rmdir", "os.symlink",
            "os.truncate", "shutil.rmtree",
        ),
        "searches the memory of the process": ("gc.get_objects", "gc.get_referrers"),
    }.items()
    for event in events
}  # fmt: skip


class ForbiddenAct(BaseException):
    """The learner's code did what a solution may not do. No ``except Exception`` stops it."""


class Guard:
    """Installed in a checking process, which ends after its one check: nothing is undone."""

    def __init__(self, part: Part, checks: ModuleType) -> None:
        self.violations: list[str] = []
        self._module = part.module
        self._reference = str(part.reference.resolve())
        self._forbidden = part.forbidden
        self._frameworks = FRAMEWORKS if part.numpy_only else frozenset()
        self._fixed = (
            builtins, math, time, np, np.linalg, torch, torch.nn, F, torch.autograd, torch.linalg,
            torch.testing,
        )  # fmt: skip
        watched = {
            "torch.Tensor": torch.Tensor,
            "torch.nn.Module": torch.nn.Module,
            "checks": checks,
            "compare": compare,
        }
        self._watched = [(name, owner, dict(vars(owner))) for name, owner in watched.items()]

    def install(self) -> None:
        """From here on the reference is out of reach, and acts and operations are watched."""
        sys.dont_write_bytecode = True  # an import may not look like a file that the code writes
        self._hide()
        self._take_operations_away()
        self._take_frameworks_away()
        for module in self._fixed:
            module.__class__ = _fixed_by(self)
        sys.meta_path.insert(0, _Finder(self))
        sys.addaudithook(self._audit)

    def refuse(self, act: str) -> ForbiddenAct:
        """Note a forbidden act; raise what is returned. Catching it does not help."""
        if act not in self.violations:
            self.violations.append(act)
        return ForbiddenAct(act)

    def found(self) -> list[str]:
        """Every forbidden act, once the check is over."""
        for owner_name, owner, before in self._watched:
            inherited = owner.__base__ if isinstance(owner, type) else None
            for name, value in vars(owner).items():
                if before.get(name, getattr(inherited, name, value)) is not value:
                    self.replaced(f"{owner_name}.{name}")
        return self.violations

    def replaced(self, what: str) -> ForbiddenAct:
        return self.refuse(
            f"the code replaces {what}: a part may not change torch, NumPy, Python or the checks"
        )

    def operation(self, name: str) -> ForbiddenAct:
        return self.refuse(
            f"the code calls torch's {name}, which is what this part is about: "
            f"write it out of simpler operations"
        )

    def imported(self, name: str) -> None:
        """Refuse the import of a module that would hold the solution."""
        if name == self._module:
            raise self.refuse(
                f"the code imports the reference {name}: write your own (the command "
                f"`groundup solution` shows the reference once you have tried)"
            )
        if name == COURSE or name.startswith(f"{COURSE}."):
            raise self.refuse(f"the code imports the grader, {name}: a part has no need to")
        if (package := name.partition(".")[0]) in self._frameworks:
            raise self.refuse(
                f"the code imports {package}: this part is to be written with NumPy alone"
            )
        if name.startswith("torch.") and name.rpartition(".")[2] in self._forbidden:
            raise self.operation(name.rpartition(".")[2])

    def _hide(self) -> None:
        """Forget the grader and the reference, and what the reference was already imported into.

        The server has never imported the reference; a test's process may have.
        """
        hidden = _loaded(COURSE)
        if self._module in sys.modules:
            own = _loaded("groundup")
            held = {name: _held(own[name]) for name in own.keys() - hidden.keys()}
            holders = {self._module}
            while more := {n for n in held.keys() - holders if held[n] & holders}:
                holders |= more
            hidden |= {name: own[name] for name in holders}
        for name in hidden:
            package, _, stem = name.rpartition(".")
            vars(sys.modules.get(package) or hidden[package]).pop(stem, None)
            sys.modules.pop(name)

    def _take_operations_away(self) -> None:
        """Put refusals in place of the forbidden operations, in torch's dispatcher.

        Every way leads there: a method, ``torch.ops``, a module, TorchScript, a thread. Only what
        torch itself writes in Python does not pass it.
        """
        self._library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
        for name in self._forbidden:
            if isinstance(vars(F).get(name), FunctionType):
                setattr(F, name, _refusal(self, name))
        with warnings.catch_warnings(action="ignore"):  # of what is done here on purpose
            for name in dispatched(self._forbidden):
                refusal = _refusal(self, name.partition(".")[0])
                self._library.impl(name, refusal, "CPU")  # type: ignore[no-untyped-call]

    def _take_frameworks_away(self) -> None:
        """Forget that they were imported, so that importing them is seen.

        So are the library's other rooms, through which they could be had. What the check still does
        with torch goes on: it holds what it uses.
        """
        if self._frameworks:
            for name in list(sys.modules):
                package, *rooms = name.split(".")
                other = package == "groundup" and rooms and rooms[0] not in ("scratch", "course")
                if package in self._frameworks or (other and len(rooms) > 1):
                    del sys.modules[name]

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(args[0]))
            if path == self._reference or _compiled(path, self._reference):
                raise self.refuse("the code reads the reference solution: write your own")
            writes = isinstance(args[1], str) and set(args[1]) & set("wax+")
            if (writes or args[2] & (os.O_WRONLY | os.O_RDWR)) and path != os.devnull:
                raise self.refuse(f"the code writes the file {path}: a part has no need to")
        elif event in REFUSED:
            raise self.refuse(f"the code {REFUSED[event]}: a part has no need to")


@functools.cache
def dispatched(operations: frozenset[str]) -> list[str]:
    """The names of these operations in torch's dispatcher, one for each of their overloads."""
    found = {name: getattr(torch.ops.aten, name, None) for name in sorted(operations)}
    return [
        name if overload == "default" else f"{name}.{overload}"
        for name, operation in found.items()
        if operation is not None
        for overload in operation.overloads()
    ]


def _loaded(name: str) -> dict[str, ModuleType]:
    """A module of this name, and those below it; not from all modules, which takes long."""
    found = {name: sys.modules[name]}
    for stem, value in list(vars(found[name]).items()):
        if isinstance(value, ModuleType) and sys.modules.get(f"{name}.{stem}") is value:
            found |= _loaded(f"{name}.{stem}")
    return found


def _held(module: ModuleType) -> set[object]:
    """The names of the modules that the module has, or of which it has something, by any name.

    A package has its modules without holding them: they are taken from it one by one.
    """
    held: set[object] = set()
    for name, value in vars(module).items():
        held.add(getattr(value, "__module__", None))
        if (own := getattr(value, "__name__", None)) != f"{module.__name__}.{name}":
            held.add(own)
    return held


def _compiled(path: str, source: str) -> bool:
    return path.endswith(".pyc") and Path(path).name.startswith(Path(source).stem + ".") and (
        Path(path).parent.parent == Path(source).parent
    )  # fmt: skip


def _refusal(guard: Guard, name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise guard.operation(name)

    return refuse


def _fixed_by(guard: Guard) -> type[ModuleType]:
    """A module whose names can be added to, and not replaced."""

    class Fixed(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            # torch wraps manual_seed when it first loads its compiler.
            if vars(self).get(name, value) is not value and name != "manual_seed":
                raise guard.replaced(f"{self.__name__}.{name}")
            super().__setattr__(name, value)

    return Fixed


class _Finder(MetaPathFinder):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        self._guard.imported(fullname)
        return None
