"""The speed of a learner's file beside the reference's, measured in a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from groundup.course.parts.table import Part
from groundup.errors import GroundupError

__all__ = ["Speed", "compare_speed"]

SECONDS = 120.0  # limit of a comparison


@dataclass(frozen=True)
class Speed:
    """Seconds of one call at a size and at twice that."""

    sizes: tuple[int, int]
    yours: tuple[float, float]
    reference: tuple[float, float]


def compare_speed(part: Part, file: Path) -> Speed:
    """Measure both, interleaved.

    Raises:
        GroundupError: the learner's code fails or takes too long.
    """
    try:
        run = subprocess.run(
            [sys.executable, "-P", "-m", "groundup.course.grader.bench", part.id, str(file)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise GroundupError(f"the comparison took more than {SECONDS:g} s") from None
    if run.returncode:
        last = run.stderr.strip().rpartition("\n")[2]
        raise GroundupError(f"the comparison failed: {last or f'exit status {run.returncode}'}")
    measured = json.loads(run.stdout.splitlines()[-1])
    return Speed(**{name: tuple(values) for name, values in measured.items()})
