"""Of every part the reference passes all checks, the stub none, and no planted mistake all."""

import importlib
import re
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


@pytest.mark.parametrize(
    ("part", "mistake"),
    [
        pytest.param(PARTS[id], name, id=f"{id}-{name}")
        for id, found in MISTAKES.items()
        for name in found
    ],
)
def test_a_planted_mistake_is_caught(part: Part, mistake: str, tmp_path: Path) -> None:
    source = part.reference.read_text()
    right, wrong = MISTAKES[part.id][mistake]
    assert source.count(right) == 1, "the mistake no longer fits the reference"
    file = tmp_path / f"{part.stem}.py"
    file.write_text(source.replace(right, wrong))
    # The first check that fails is enough: of the others there are many, and a process for each.
    caught = next((r for r in grade(part, file) if not r.passed), None)
    assert caught is not None
    assert caught.message


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_is_complete(part: Part) -> None:
    assert len(MISTAKES[part.id]) >= 5
    hints = (part.folder / "hints.md").read_text()
    assert re.findall(r"^## (\d)\. \S", hints, re.MULTILINE) == ["1", "2", "3"]
    assert set(part.needs) <= set(PARTS)
