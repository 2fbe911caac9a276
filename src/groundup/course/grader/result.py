"""What a check found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["CheckResult", "Status"]

# failed: this check did not pass, the next may. fatal: no other check can be run on this file.
Status = Literal["passed", "failed", "fatal"]


@dataclass(frozen=True)
class CheckResult:
    """One check of one file."""

    check: str  # the function's name
    title: str  # the first line of its docstring
    status: Status
    message: str = ""  # what was wrong; may have several lines
    printed: str = ""  # the first 4,000 characters that the learner's code printed
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
