"""Says which check of a part is the first to fail on a file, for files that are our own.

A planted mistake needs none of the grader's care: its checks run in one process, without a guard.
Each in a process of its own, as a learner's code has, would take most of the time of all tests.

Reads a part and a file from each line of the standard input, and writes a line of JSON: the name of
the check and its message, or null if all passed.
"""

import gc
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch

from groundup.course.grader import child
from groundup.course.grader.guard import Guard
from groundup.course.grader.part_under_test import PartUnderTest
from groundup.course.parts.table import PARTS
from groundup.process_limits import limit_process

CPU_SECONDS = 5  # of the processor; no part's checks take half of that together
SECONDS = 20  # by the clock, for one that waits


class Trust(Guard):
    def install(self) -> None:
        pass


def first_failure(part_id: str, file: Path) -> tuple[str, str] | None:
    with tempfile.TemporaryFile("w+") as report:
        child.prepare(part_id)
        if (pid := os.fork()) == 0:
            signal.alarm(SECONDS)
            limit_process(cpu_seconds=CPU_SECONDS, memory=child.MEMORY, file_size=child.FILE_SIZE)
            json.dump(run_checks(part_id, file), report)
            report.flush()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            return "", f"its process ended with status {os.waitstatus_to_exitcode(status)}"
        report.seek(0)
        failure: tuple[str, str] | None = json.load(report)
        return failure


def run_checks(part_id: str, file: Path) -> tuple[str, str] | None:
    part, checks = PARTS[part_id], child.load_checks(part_id)
    guard = Trust(part, checks)
    for name in child.check_names(checks):
        torch.default_generator.manual_seed(0)
        tested = PartUnderTest(file, part.reference, guard)
        status, message = child._outcome(getattr(checks, name), tested, file)
        if status != "passed":
            return name, message
    return None


if __name__ == "__main__":
    for part_id in PARTS:
        child.load_checks(part_id)
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        part_id, name = json.loads(line)
        print(json.dumps(first_failure(part_id, Path(name))), flush=True)
