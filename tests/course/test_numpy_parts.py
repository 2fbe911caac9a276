"""Parts that are to be written in NumPy: no framework helps, arrays are watched as tensors are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundup.models.rotary  # noqa: F401 (the grader's process has it already: the worst case)
from groundup.course.grader.compare import CheckFailure, assert_close, unchanged
from groundup.course.grader.judge import judge
from groundup.course.grader.result import CheckResult
from groundup.course.grader.scratch_operation import assert_operation, expectation
from groundup.course.parts.table import PARTS
from groundup.scratch.tensor import Tensor, record

KAIMING = PARTS["kaiming-init"].reference.read_text()
DRAW = "return (rng.standard_normal(shape) * _deviation(shape, gain)).astype(np.float32)"

CHEATS = {
    "at the top": ("import math\n", "import math\n\nimport torch\n"),
    "by name": (DRAW, f"__import__('torch')\n    {DRAW}"),
    "by importlib": (DRAW, f"import importlib\n    importlib.import_module('torch')\n    {DRAW}"),
    "a module of its": (DRAW, f"from torch.nn import init\n    {DRAW}"),
    "a module of its by importlib": (
        DRAW,
        f"import importlib\n    importlib.import_module('torch.nn.init')\n    {DRAW}",
    ),
    "if it is allowed": (
        DRAW,
        f"try:\n        import torch\n    except BaseException:\n        pass\n    {DRAW}",
    ),
    "by a room that uses it": (DRAW, f"from groundup.models.rotary import torch\n    {DRAW}"),
}


def results(folder: Path, part: str, source: str) -> list[CheckResult]:
    file = folder / f"{PARTS[part].stem}.py"
    file.write_text(source)
    return list(judge(part, file))


@pytest.mark.parametrize("name", CHEATS)
def test_importing_torch_is_seen_however_it_is_done(name: str, tmp_path: Path) -> None:
    found = results(tmp_path, "kaiming-init", KAIMING.replace(*CHEATS[name]))
    words = "the code imports torch: this part is to be written with NumPy alone"
    others = ("check_fan_in", "check_uniform", "check_bad_input")  # they do not come to that line
    drawing = [r for r in found if r.check not in others]
    assert drawing
    assert [r.check for r in drawing if r.passed or words not in r.message] == []


@pytest.mark.parametrize("package", ["scipy", "sklearn"])
def test_other_packages_that_would_do_it_are_refused(package: str, tmp_path: Path) -> None:
    found = results(tmp_path, "kaiming-init", f"import {package}\n{KAIMING}")
    assert all(f"the code imports {package}: this part" in r.message for r in found)


def test_torch_is_not_lying_in_sys_modules(tmp_path: Path) -> None:
    source = KAIMING.replace(DRAW, f"import sys\n    sys.modules['torch']\n    {DRAW}")
    found = results(tmp_path, "kaiming-init", source)
    assert "KeyError: 'torch'" in next(r.message for r in found if not r.passed)


def test_parts_of_other_rooms_may_use_torch() -> None:
    assert not PARTS["attention"].numpy_only
    assert PARTS["autograd"].numpy_only


def test_a_changed_array_is_named(tmp_path: Path) -> None:
    """Also one inside a tensor, and of a function that only NumPy knows."""
    source = PARTS["cross-entropy"].reference.read_text()
    right = "shifted = logits.data - logits.data.max(axis=1, keepdims=True)"
    wrong = "shifted = logits.data\n    shifted -= logits.data.max(axis=1, keepdims=True)"
    assert right in source
    found = results(tmp_path, "cross-entropy", source.replace(right, wrong))
    assert any("was changed at [0, " in r.message for r in found)
    source = PARTS["gradient-check"].reference.read_text()
    found = results(
        tmp_path, "gradient-check", source.replace("moved = x.copy()", "moved = x; x += 1")
    )
    assert any("the input x was changed at" in r.message for r in found)


@pytest.mark.parametrize(
    ("actual", "words"),
    [
        (torch.ones(2), "is of type Tensor: expected an array of shape (2,)"),
        (np.ones((2, 1)), "has shape (2, 1): expected (2,)"),
        (np.ones(2, np.float32), "has dtype float32: expected float64"),
        (np.array([1.0, 2.0]), "differs at [1]: got 2, expected 1"),
        (np.float64(1.0), "expected an array of shape (2,)"),
        (np.zeros(2), "is all zeros: expected 1 at [0]"),
        (np.full(2, np.nan), "is all NaN"),
        (None, "is None: expected an array of shape (2,)"),
    ],
)
def test_arrays_are_compared_like_tensors(actual: object, words: str) -> None:
    with pytest.raises(CheckFailure) as caught:
        assert_close(actual, np.ones(2), rtol=1e-9, atol=0)
    assert words in str(caught.value)


def test_equal_arrays_pass_and_only_arrays_stand_for_arrays() -> None:
    assert_close(np.ones(2) * (1 + 1e-10), np.ones(2), rtol=1e-9, atol=0)
    with pytest.raises(CheckFailure, match="expected a tensor"):
        assert_close(np.ones(2), torch.ones(2), rtol=1e-9, atol=0)
    x = np.ones(3)
    with pytest.raises(CheckFailure, match=r"the input x was changed at \[1\]"), unchanged(x=x):
        x[1] = 2


OPERATIONS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "the gradient is half": (
        lambda x: record(x.data**2, (x,), lambda g: (g * x.data,)),
        "gradient",
    ),
    "the output is an array": (lambda x: x.data**2, "expected a Tensor"),
    "the output is none": (lambda x: None, "expected a Tensor"),
    "the value is off": (lambda x: x * x + 1e-6, "differs at"),
    "no gradient": (lambda x: x * x.detach() + x.detach() * x * 0, "gradient"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_that_are_wrong_are_told(name: str) -> None:
    function, words = OPERATIONS[name]
    want = expectation(lambda x: x * x, np.array([1.0, 2.0]))
    assert_operation(lambda x: x * x, want)
    with pytest.raises(CheckFailure, match=words):
        assert_operation(function, want)
