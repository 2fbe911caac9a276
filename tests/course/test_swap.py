"""Swapping: what serves, what does not and why, and that the library really runs on it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.course import progress as progress_module
from groundup.course.parts.table import PARTS
from groundup.course.swap import Swaps, find_swaps
from groundup.course.workspace import Workspace

Put = Callable[[str], Path]
Environment = Callable[[], dict[str, str]]

# Imports the model on the learner's parts and tells which function it holds.
PROBE = """
import json, sys
from groundup.course.swap import find_swaps, install_swaps
from groundup.course.workspace import find_workspace
swaps = install_swaps(find_swaps(find_workspace()))
import groundup.models.llama as llama
import groundup.models.attention as module
function = llama.attention
print(json.dumps({
    "module": function.__module__, "code": function.__code__.co_filename, "file": module.__file__,
    "names": sorted(n for n in vars(module) if not n.startswith("_")),
    "parts": [p.id for p in swaps.parts], "problems": swaps.problems}))
"""


def probe(environment: Environment, program: str = PROBE, **more: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def served(workspace: Workspace) -> tuple[list[str], list[str]]:
    swaps: Swaps = find_swaps(workspace)
    return [part.id for part in swaps.parts], swaps.problems


def test_the_model_holds_the_learners_function(
    swapped_attention: Put, attention_source: str, environment: Environment
) -> None:
    file = swapped_attention(attention_source)
    found = probe(environment)
    assert found["module"] == "groundup.models.attention"
    assert found["code"] == found["file"] == str(file)
    assert (found["parts"], found["problems"]) == (["attention"], [])


def test_without_a_swap_the_model_holds_the_reference(
    workspace: Workspace, environment: Environment
) -> None:
    workspace.start(PARTS["attention"])
    assert probe(environment)["code"] == str(PARTS["attention"].reference)


def test_a_pass_alone_does_not_swap(workspace: Workspace, swapped_attention: Put) -> None:
    swapped_attention("pass")
    workspace.log("unswap", part="attention")
    assert served(workspace) == ([], [])
    workspace.log("swap", part="attention")
    assert served(workspace) == (["attention"], [])


@pytest.mark.parametrize("text", ["pass  # better", "def attention(:\n", "\x00", ""])
def test_a_file_that_was_changed_does_not_serve(
    workspace: Workspace, swapped_attention: Put, text: str
) -> None:
    swapped_attention("pass").write_text(text)
    assert served(workspace) == (
        [],
        [
            "attention: your attention.py has changed and not passed since, so the reference "
            "serves: run `groundup check attention`"
        ],
    )


def test_a_file_that_is_gone_does_not_serve(workspace: Workspace, swapped_attention: Put) -> None:
    swapped_attention("pass").unlink()
    assert served(workspace) == (
        [],
        [
            "attention: your attention.py is gone, so the reference serves: run "
            "`groundup start attention`"
        ],
    )


def test_a_pass_of_older_checks_does_not_serve(
    workspace: Workspace, swapped_attention: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped_attention("pass")
    monkeypatch.setattr(progress_module, "checks_sha256", lambda part: "newer")
    assert served(workspace) == (
        [],
        [
            "attention: your attention.py passed, but the checks have changed since, so the "
            "reference serves: run `groundup check attention`"
        ],
    )


@pytest.mark.parametrize("act", ["raise KeyError('planted')", "raise SystemExit(3)"])
def test_a_file_that_fails_when_imported_leaves_the_reference_and_no_trace(
    swapped_attention: Put, environment: Environment, act: str
) -> None:
    swapped_attention(f"import os\nmine = 1\nif 'PLANTED' in os.environ:\n    {act}\n")
    found = probe(environment, PLANTED="1")
    assert found["code"] == found["file"] == str(PARTS["attention"].reference)
    assert "mine" not in found["names"]
    assert found["parts"] == []
    (problem,) = found["problems"]
    assert problem.startswith("attention: your attention.py failed at line 4 (")
    assert problem.endswith("), so the reference serves")


def test_a_file_that_changes_before_it_is_imported_does_not_serve(
    swapped_attention: Put, attention_source: str, environment: Environment
) -> None:
    file = swapped_attention(attention_source)
    late = f"open({str(file)!r}, 'a').write('# late')\nimport groundup.models.llama as llama"
    found = probe(environment, PROBE.replace("import groundup.models.llama as llama", late))
    assert found["code"] == str(PARTS["attention"].reference)
    assert "it changed since it passed" in found["problems"][0]


BLAME = """
import json, sys
from groundup.course.swap import find_swaps, install_swaps
from groundup.course.workspace import find_workspace
swaps = install_swaps(find_swaps(find_workspace()))
import torch
from groundup.models.llama import Llama, LlamaConfig
config = LlamaConfig(vocabulary=9, dim=8, hidden_dim=8, layers=1, heads=2, kv_heads=1,
                     head_dim=4, context=8)
blamed = None
try:
    Llama(config)(torch.zeros(1, 3, dtype=torch.long))
except Exception as error:
    blamed = swaps.blame(error)
from groundup.models.llama import Llama, attention
finite = Llama(config)(torch.zeros(1, 3, dtype=torch.long)).isfinite().all().item()
print(json.dumps({"blamed": blamed, "problems": swaps.problems, "finite": finite,
                  "code": attention.__code__.co_filename, "again": swaps.blame(ValueError())}))
"""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "raise RuntimeError('a [planted]\\n one')",
            "failed at line 3 (RuntimeError: a [planted] one)",
        ),
        ("return None", "failed (AttributeError: 'NoneType' object has no attribute 'transpose')"),
    ],
    ids=["raises", "returns nonsense"],
)
def test_a_part_that_fails_while_it_serves_is_replaced(
    swapped_attention: Put, environment: Environment, body: str, problem: str
) -> None:
    swapped_attention(
        f"__all__ = ['attention']\ndef attention(q, k, v, *, causal=True):\n    {body}\n"
    )
    found = probe(environment, BLAME)
    assert found["blamed"]
    assert found["problems"] == [f"attention: your attention.py {problem}, so the reference serves"]
    assert found["finite"]
    assert found["code"] == str(PARTS["attention"].reference)
    assert not found["again"]  # nothing of the learner's is left to blame


def test_after_a_failure_all_that_may_hold_the_part_is_imported_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = PARTS["int8"]
    swaps = Swaps({part.module: (part, tmp_path / "absmax.py", "")}, [])
    names = (part.module, "groundup.engine.packed_matrix", "groundup.engine", "groundup.cli.chat")
    modules = dict.fromkeys(names, sys)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "modules", modules)
        assert swaps.blame(ValueError())
    assert list(modules) == ["groundup.cli.chat"]
