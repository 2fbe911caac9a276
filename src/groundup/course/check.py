"""A check of a learner's file, from the grader's first result to the event in the record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.course.grader.client import grade
from groundup.course.grader.result import CheckResult
from groundup.course.parts.table import Part
from groundup.course.progress import checks_sha256, sha256
from groundup.course.workspace import Workspace

__all__ = ["Verdict", "check"]


@dataclass(frozen=True)
class Verdict:
    """What all results of a check come to."""

    count: int  # checks that were run
    failed: tuple[str, ...]  # their names
    unchanged: bool  # the file is still the one that was checked

    @property
    def passed(self) -> bool:
        return self.count > 0 and not self.failed and self.unchanged


def check(
    workspace: Workspace, part: Part, starting: Callable[[], None] = lambda: None
) -> Iterator[CheckResult | Verdict]:
    """Yield each check's result as it comes; last the verdict, which is then recorded.

    Args:
        workspace: holds the file.
        part: the one to check.
        starting: called before a wait of seconds, if the grader has to be started.

    Raises:
        GroundupError: the part was not started, or the grader does not answer.
    """
    file = workspace.started_file(part)
    # Recorded is what was there before: a file saved while it is checked has not passed.
    checked, checks = sha256(file), checks_sha256(part)
    count, failed = 0, []
    for result in grade(part, file, starting=starting):
        count += 1
        if not result.passed:
            failed.append(result.check)
        yield result
    verdict = Verdict(count, tuple(failed), unchanged=_same(file, checked))
    workspace.log(
        "check",
        part=part.id,
        sha256=checked,
        checks_sha256=checks,
        passed=verdict.passed,
        failed=failed,
    )
    yield verdict


def _same(file: Path, checked: str) -> bool:
    return file.is_file() and sha256(file) == checked
