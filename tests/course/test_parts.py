"""Of every part the reference passes all checks, the stub none, and no planted mistake all."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundup.course.grader.client import grade
from groundup.course.grader.result import CheckResult
from groundup.course.parts.table import PARTS, Part
from groundup.course.stub import stub_of

# The warm grader is small beside this process: it forks for a check in a fraction of the time. It
# outlives the call that starts it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

MISTAKES = {
    part.id: importlib.import_module(part.checks_module.replace(".checks", ".mistakes")).MISTAKES
    for part in PARTS.values()
}


def results(part: Part, folder: Path, source: str) -> list[CheckResult]:
    file = folder / f"{part.stem}.py"
    file.write_text(source)
    return list(grade(part, file))


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_reference_passes_every_check(part: Part, tmp_path: Path) -> None:
    found = results(part, tmp_path, part.reference.read_text())
    assert [(r.check, r.message) for r in found if not r.passed] == []
    assert len(found) >= 5


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_stub_fails_every_check(part: Part, tmp_path: Path) -> None:
    found = results(part, tmp_path, stub_of(part.reference.read_text()))
    assert [r.check for r in found if r.passed] == []
    assert all("not written yet" in r.message for r in found)


@pytest.fixture(scope="module")
def first_failure() -> Iterator[Callable[[str, Path], tuple[str, str] | None]]:
    """As the function of that name: in a process of its own, which is small and quick to fork."""
    program = [sys.executable, str(Path(__file__).with_name("first_failure.py"))]
    with subprocess.Popen(
        program, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def ask(part_id: str, file: Path) -> tuple[str, str] | None:
            print(json.dumps([part_id, str(file)]), file=requests, flush=True)
            failure: tuple[str, str] | None = json.loads(answers.readline())
            return failure

        yield ask
        requests.close()


@pytest.mark.parametrize(
    ("part", "mistake"),
    [
        pytest.param(PARTS[id], name, id=f"{id}-{name}")
        for id, found in MISTAKES.items()
        for name in found
    ],
)
def test_a_planted_mistake_is_caught(
    part: Part,
    mistake: str,
    tmp_path: Path,
    first_failure: Callable[[str, Path], tuple[str, str] | None],
) -> None:
    source = part.reference.read_text()
    right, wrong = MISTAKES[part.id][mistake]
    assert source.count(right) == 1, "the mistake no longer fits the reference"
    file = tmp_path / f"{part.stem}.py"
    file.write_text(source.replace(right, wrong))
    if (failure := first_failure(part.id, file)) is None:  # then perhaps the guard catches it
        caught = [r for r in grade(part, file) if not r.passed]
        assert caught, "it passes every check"
        failure = caught[0].check, caught[0].message
    assert failure[1]


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_is_complete(part: Part) -> None:
    assert len(MISTAKES[part.id]) >= 5
    hints = (part.folder / "hints.md").read_text()
    assert re.findall(r"^## (\d)\. \S", hints, re.MULTILINE) == ["1", "2", "3"]
    assert set(part.needs) <= set(PARTS)
