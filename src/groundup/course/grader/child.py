"""The process in which one check runs on a learner's file. It ends with the check."""

import errno
import faulthandler
import functools
import gc
import importlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch

from groundup.course.grader.compare import CheckFailure
from groundup.course.grader.guard import ForbiddenAct, Guard, dispatched
from groundup.course.grader.part_under_test import (
    LoadFailure,
    PartUnderTest,
    described,
    expected_signatures,
    where,
)
from groundup.course.grader.result import CheckResult, Status
from groundup.course.parts.table import PARTS
from groundup.process_limits import limit_process

__all__ = ["LOST", "REPORT", "check_names", "load_checks", "prepare", "run", "title_of"]

REPORT = 3  # the file descriptor that takes the result; beyond it none is open
LOST = 71  # exit status when it was closed
MEMORY = 2 << 30  # bytes beyond what the process has when it starts
FILE_SIZE = 16 << 20  # bytes that can be printed
MESSAGE = 4000  # characters kept of a message, which may hold the learner's own text

_write, _exit, _dumps = os.write, os._exit, json.dumps  # as they are before a learner's code runs


def load_checks(part_id: str) -> ModuleType:
    """The module with a part's checks."""
    return importlib.import_module(PARTS[part_id].checks_module)


def check_names(checks: ModuleType) -> list[str]:
    """Its checks, in the order in which they are written."""
    return [name for name in vars(checks) if name.startswith("check_")]


def title_of(check: Callable[..., object]) -> str:
    """The first line of a check's docstring."""
    return (check.__doc__ or check.__name__).strip().splitlines()[0].rstrip(".")


@functools.cache
def prepare(part_id: str) -> None:
    """Find out, before processes are forked, what each of them would have to."""
    expected_signatures(PARTS[part_id].reference)
    dispatched(PARTS[part_id].forbidden)


def run(part_id: str, check: str, file: Path, seconds: float, token: str) -> NoReturn:
    """Run one check, write its result as JSON behind ``token`` to the report, and exit.

    After ``seconds`` the stack is written to the report and the process ends.
    """
    warnings.simplefilter("default")  # they are printed, even where the parent fails at them
    gc.freeze()  # what was there before is shared with the parent until a collection touches it
    # Nothing waits in a buffer when the process ends, and no capture of the parent's takes it.
    sys.stdout = sys.stderr = io.TextIOWrapper(
        io.FileIO(1, "w"),
        encoding="utf-8",
        errors="replace",
        write_through=True,
    )
    torch.set_num_threads(1)
    limit_process(cpu_seconds=int(seconds) + 5, memory=MEMORY, file_size=FILE_SIZE)
    faulthandler.dump_traceback_later(seconds, file=REPORT, exit=True)
    result = _run_check(part_id, check, file)
    try:
        _write(REPORT, (token + _dumps(result.to_json()) + "\n").encode())
    except OSError:
        _exit(LOST)
    _exit(0)


def _run_check(part_id: str, check: str, file: Path) -> CheckResult:
    part, checks = PARTS[part_id], load_checks(part_id)
    function: Callable[[ModuleType], None] = getattr(checks, check)
    guard = Guard(part, checks)
    tested = PartUnderTest(file, part.reference, guard)
    torch.default_generator.manual_seed(0)
    start = time.perf_counter()
    status, message = _outcome(function, tested, file)
    seconds = time.perf_counter() - start
    # What the learner's code did aside outweighs what it returned.
    if acts := guard.found():
        status = "failed"
        if message.partition("\n")[0] not in acts:
            message = "\n".join(acts)
    elif status == "passed" and not tested.loaded:
        status, message = "failed", "this check never used the part: that is a defect of the check"
    return CheckResult(check, title_of(function), status, message[:MESSAGE], seconds=seconds)


def _outcome(
    function: Callable[[ModuleType], None], tested: PartUnderTest, file: Path
) -> tuple[Status, str]:
    try:
        function(tested)
    except LoadFailure as failure:
        return "fatal", str(failure)
    except CheckFailure as failure:
        return "failed", _beyond_limits(failure.__cause__) or str(failure)
    except ForbiddenAct as act:
        return "failed", f"{act}{where(act, file)}"
    except SystemExit as error:
        return "failed", f"the code ends the program (sys.exit){where(error, file)}"
    except BaseException as error:
        place = where(error, file)
        if isinstance(error, NotImplementedError) and not error.args:  # torch's have a text
            return "failed", f"this is not written yet{place}"
        if beyond := _beyond_limits(error):
            return "failed", beyond + place
        if place:
            return "failed", f"the code raises {described(error)}{place}"
        return (
            "failed",
            f"the check could not go on with what the code returned: {described(error)}",
        )
    return "passed", ""


def _beyond_limits(error: BaseException | None) -> str:
    # torch has no exception of its own for memory.
    torch_words = ("can't allocate memory", "bad_alloc")
    if isinstance(error, MemoryError) or (
        error is not None and any(words in described(error) for words in torch_words)
    ):
        return f"the code wants more memory than {MEMORY >> 30} GiB"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return f"the code prints more than {FILE_SIZE >> 20} MiB"
    return ""


def main() -> NoReturn:
    """Where processes cannot be forked safely, each check starts here in a new interpreter."""
    request: dict[str, Any] = json.loads(sys.stdin.read())  # not in the arguments: all can see them
    run(
        request["part"],
        request["check"],
        Path(request["file"]),
        request["seconds"],
        request["token"],
    )


if __name__ == "__main__":
    main()
