"""A learner's file as a module, loaded at its first use."""

import copy
import functools
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, GenericAlias, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, unchanged
from groundup.course.grader.guard import ForbiddenAct, Guard
from groundup.course.stub import stub_of

__all__ = ["LoadFailure", "PartUnderTest", "described", "expected_signatures", "where"]


class LoadFailure(BaseException):
    """The file cannot be used at all. No ``except Exception`` of a check takes it for a result."""


class PartUnderTest(ModuleType):
    """What a check gets as ``part``.

    The learner's file is run when the check first takes something from it. What the check expects
    was computed before that, in a process that no learner's code had touched.
    """

    def __init__(self, file: Path, reference: Path, guard: Guard) -> None:
        super().__init__(f"parts.{file.stem}")
        self._file = file
        self._guard = guard
        self._expected = expected_signatures(reference)
        self._module: ModuleType | None = None

    @property
    def loaded(self) -> bool:
        return self._module is not None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._module is None:
            self._module = self._load()
        value = getattr(self._module, name)
        return _watched(value) if callable(value) and not isinstance(value, type) else value

    def _load(self) -> ModuleType:
        name = self._file.name
        try:
            source = self._file.read_bytes()
        except OSError as error:
            raise LoadFailure(f"{name} cannot be read: {error.strerror}") from None
        module = ModuleType(self.__name__)
        module.__file__ = str(self._file)
        sys.modules[self.__name__] = module  # as an import does; dataclasses look there
        try:
            code = compile(source, str(self._file), "exec")
        except (SyntaxError, ValueError) as error:
            raise LoadFailure(_syntax_message(name, error)) from None
        self._guard.install()
        try:
            exec(code, vars(module))
        except ForbiddenAct:
            raise
        except SystemExit:
            raise LoadFailure(f"{name} ends the program (sys.exit) when it is imported") from None
        except BaseException as error:
            raise LoadFailure(
                f"{name} fails when it is imported: {described(error)}{where(error, self._file)}"
            ) from None
        self._compare_signatures(module)
        return module

    def _compare_signatures(self, module: ModuleType) -> None:
        for name in self._expected.__all__:
            expected, actual = getattr(self._expected, name), getattr(module, name, None)
            if actual is None:
                raise LoadFailure(
                    f"{self._file.name} does not define {name}: expected {_describe(expected)}"
                )
            if isinstance(expected, GenericAlias):  # a type by another name
                continue
            if not callable(expected):
                if type(actual) is not type(expected) or actual != expected:
                    raise LoadFailure(f"{name} is {actual!r:.80}: expected {_describe(expected)}")
                continue
            if isinstance(expected, type) != isinstance(actual, type):
                got = "a class" if isinstance(actual, type) else repr(actual)
                raise LoadFailure(f"{name} should be {_describe(expected)}, and is {got}")
            if not isinstance(expected, type):
                _compare_signature(name, actual, expected)
                continue
            for method, function in vars(expected).items():
                found = getattr(actual, method, None)
                if isinstance(function, property):
                    if not isinstance(found, property):
                        raise LoadFailure(f"{name}.{method} should be a property")
                elif isinstance(function, FunctionType):
                    if found is None:
                        raise LoadFailure(f"{name} lacks the method {_describe(function)}")
                    _compare_signature(f"{name}.{method}", found, function)


def described(error: BaseException) -> str:
    """An error's type and text, as at the end of a traceback."""
    return "".join(traceback.format_exception_only(error)).strip()


def where(error: BaseException, file: Path) -> str:
    """The last place in the learner's file that an error passed through, and its line."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename == str(file):
            return f"\n  at line {frame.lineno} of {file.name}, in {frame.name}: {frame.line}"
    return ""


@functools.cache
def expected_signatures(reference: Path) -> ModuleType:
    """What a file should define: the module of the reference's stub. The reference is not run."""
    spec = importlib.util.spec_from_loader(f"stubs.{reference.stem}", loader=None)
    assert spec is not None
    stub = importlib.util.module_from_spec(spec)
    exec(compile(stub_of(reference.read_text("utf-8")), f"<stub of {reference.stem}>", "exec"),
         vars(stub))  # fmt: skip
    return stub


def _compare_signature(name: str, actual: Callable[..., Any], expected: FunctionType) -> None:
    try:
        signature = inspect.signature(actual)
    except (TypeError, ValueError):
        raise LoadFailure(f"{name} should be {_describe(expected)}, and is {actual!r}") from None
    if _parameters(signature) != _parameters(inspect.signature(expected)):
        got = f"{name.rpartition('.')[2]}{_plain(signature)}"
        raise LoadFailure(f"{name} has the signature {got}: expected {_describe(expected)}")


def _parameters(signature: inspect.Signature) -> list[tuple[str, Any, str]]:
    # By their text, because a default may be of a class, or a function, that both files define.
    return [
        (p.name, p.kind, getattr(p.default, "__qualname__", repr(p.default)))
        for p in signature.parameters.values()
    ]


def _plain(signature: inspect.Signature) -> str:
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def _describe(expected: Any) -> str:
    if isinstance(expected, GenericAlias):
        return f"the type {expected}"
    if isinstance(expected, type):
        return f"the class {expected.__name__}"
    if not callable(expected):
        return f"the constant {expected!r:.80}"
    return f"the function {expected.__name__}{_plain(inspect.signature(expected))}"


def _syntax_message(name: str, error: SyntaxError | ValueError) -> str:
    if isinstance(error, SyntaxError) and error.text:
        text = f"{error.msg}\n  at line {error.lineno}: {error.text.strip()}"
        return f"{name} is not valid Python: {text}"
    return f"{name} is not valid Python: {error}"


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, failing where it changes one of its arguments."""
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        named = dict(zip(names, args, strict=False)) | kwargs
        for name, value in list(named.items()):
            if isinstance(value, list) and any(_values(item) is not None for item in value):
                named |= {f"{name}[{i}]": item for i, item in enumerate(named.pop(name))}
        tensors = {
            name: held for name, value in named.items() if (held := _values(value)) is not None
        }
        others = {
            name: (value, copy.deepcopy(value))
            for name, value in named.items()
            if isinstance(value, (list, dict, set))
        }
        with unchanged(**tensors):
            result = function(*args, **kwargs)
        for name, (value, before) in others.items():
            if value != before:
                raise CheckFailure(f"the input {name} was changed: work on a copy")
        return result

    return call


def _values(argument: object) -> Tensor | NDArray[Any] | None:
    """The tensor or array that an argument is, or that it holds as ``groundup.scratch`` does."""
    if not isinstance(argument, (Tensor, np.ndarray)):
        argument = getattr(argument, "data", None)
    return argument if isinstance(argument, (Tensor, np.ndarray)) else None
