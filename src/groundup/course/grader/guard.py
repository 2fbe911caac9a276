"""Watches a learner's code while it is checked.

This is against accidents and shortcuts, which it names; it is no prison. Code runs with the rights
of the learner, whose own machine it is.
"""

import builtins
import math
import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.course.grader import compare

__all__ = ["ForbiddenAct", "Guard"]


class ForbiddenAct(Exception):
    """The learner's code did what a solution may not do."""


class Guard:
    """Installed in a checking process, which ends after its one check: nothing is undone."""

    def __init__(
        self, reference_module: str, reference: Path, forbidden: frozenset[str], checks: ModuleType
    ) -> None:
        self.violations: list[str] = []
        self._forbidden = forbidden
        self._reference = str(reference.resolve())
        self._module = reference_module
        self._watched: list[Any] = [
            builtins, math, time, np, np.testing, torch, torch.Tensor, torch.nn, torch.nn.Module,
            torch.nn.functional, torch.autograd, torch.linalg, torch.testing, torch.random,
            compare, checks, sys.modules[__name__], Guard,
        ]  # fmt: skip
        self._before = [dict(vars(owner)) for owner in self._watched]

    def install(self) -> None:
        """From here on the reference is out of reach, and acts and operations are watched."""
        sys.modules.pop(self._module, None)
        sys.meta_path.insert(0, _NoReference(self))
        sys.addaudithook(self._audit)
        _FunctionWatch(self).__enter__()
        _OperationWatch(self).__enter__()

    def refuse(self, act: str) -> ForbiddenAct:
        """Note a forbidden act; raise what is returned. Catching it does not help."""
        if act not in self.violations:
            self.violations.append(act)
        return ForbiddenAct(act)

    def operation(self, name: str) -> None:
        if name in self._forbidden:
            raise self.refuse(
                f"the code calls torch's {name}, which is what this part is about: "
                f"write it out of simpler operations"
            )

    def replaced(self) -> str | None:
        """What the learner's code put in place of something of Python, NumPy, torch or the checks."""
        for owner, before in zip(self._watched, self._before, strict=True):
            now = vars(owner)
            for name, value in before.items():
                if now.get(name, self) is not value and name not in ("__warningregistry__", "_"):
                    return (
                        f"the code replaces {owner.__name__}.{name}: a part may not change "
                        f"torch, NumPy, Python or the checks"
                    )
        return None

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(args[0]))
            if path == self._reference or _compiled(path, self._reference):
                raise self.refuse("the code reads the reference solution: write your own")
            writes = isinstance(args[1], str) and set(args[1]) & set("wax+")
            if (writes or args[2] & (os.O_WRONLY | os.O_RDWR)) and path != os.devnull:
                raise self.refuse(f"the code writes the file {path}: a part has no need to")
        elif event in ("subprocess.Popen", "os.system", "os.fork", "os.exec", "os.posix_spawn"):
            raise self.refuse("the code starts another process: a part has no need to")
        elif event in ("socket.connect", "socket.bind"):
            raise self.refuse("the code opens a network connection: a part has no need to")
        elif event in ("os.kill", "os.killpg"):
            raise self.refuse("the code sends a signal to a process: a part has no need to")


def _compiled(path: str, source: str) -> bool:
    return path.endswith(".pyc") and Path(path).name.startswith(Path(source).stem + ".") and (
        Path(path).parent.parent == Path(source).parent
    )  # fmt: skip


class _NoReference(MetaPathFinder):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._guard._module:
            raise self._guard.refuse(
                f"the code imports the reference {fullname}: write your own (the command "
                f"`groundup solution` shows the reference once you have tried)"
            )
        return None


class _OperationWatch(TorchDispatchMode):
    """Sees every operation that torch carries out, whatever it was called through."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self._guard.operation(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class _FunctionWatch(TorchFunctionMode):
    """Sees the functions that torch takes apart before it carries them out."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._guard.operation(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))
