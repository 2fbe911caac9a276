"""How fast a learner's file is against the reference: interleaved medians at two sizes."""

import importlib
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

from groundup.course.grader.child import load_checks
from groundup.course.parts.table import PARTS

__all__ = ["bench"]

SECONDS = 1.0  # of measuring for each size


def bench(part_id: str, file: Path) -> dict[str, list[float]]:
    """Seconds of one call at the part's size and at twice that.

    Returns:
        ``{"sizes": [n, 2n], "yours": [seconds, seconds], "reference": [seconds, seconds]}``.
    """
    checks = load_checks(part_id)
    modules = [_learners(file), importlib.import_module(PARTS[part_id].module)]
    sizes = [checks.SIZE, 2 * checks.SIZE]
    medians: list[list[float]] = [[], []]
    for size in sizes:
        calls: list[Callable[[], object]] = []
        for module in modules:
            torch.manual_seed(0)
            calls.append(checks.workload(module, size))
        for median, times in zip(medians, _interleaved(calls), strict=True):
            median.append(statistics.median(times))
    return {"sizes": sizes, "yours": medians[0], "reference": medians[1]}


def _learners(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"parts.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _interleaved(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Times of each call, taken in turn so that a drift of the machine's speed meets all alike."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline or len(times[0]) < 3:
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    print(json.dumps(bench(sys.argv[1], Path(sys.argv[2]))))
