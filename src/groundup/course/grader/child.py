"""The process in which one check runs on a learner's file. It ends with the check."""

import faulthandler
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
import torch._dynamo  # torch loads it lazily and then replaces functions of its own: not while we watch

from groundup.course.grader.compare import CheckFailure
from groundup.course.grader.guard import ForbiddenAct, Guard
from groundup.course.grader.part_under_test import LoadFailure, PartUnderTest, where
from groundup.course.grader.result import CheckResult, Status
from groundup.course.parts.table import PARTS

__all__ = ["check_names", "load_checks", "run"]

MEMORY = 2 << 30  # bytes beyond what the process has when it starts

_write, _exit, _dumps = os.write, os._exit, json.dumps  # as they are before a learner's code runs


def load_checks(part_id: str) -> ModuleType:
    """The module with a part's checks."""
    return importlib.import_module(PARTS[part_id].checks_module)


def check_names(checks: ModuleType) -> list[str]:
    """Its checks, in the order in which they are written."""
    return [name for name in vars(checks) if name.startswith("check_")]


def run(part_id: str, check: str, file: Path, seconds: float, answer: int, hang: int,
        token: str) -> NoReturn:  # fmt: skip
    """Run one check, write its result as JSON behind ``token`` to the descriptor ``answer``, exit.

    After ``seconds`` the stack is written to the descriptor ``hang`` and the process ends.
    """
    _limit(seconds)
    faulthandler.dump_traceback_later(seconds, file=hang, exit=True)
    result = _run_check(part_id, check, file)
    _write(answer, (token + _dumps(result.to_json()) + "\n").encode())
    _exit(0)


def _limit(seconds: float) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu = int(seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _run_check(part_id: str, check: str, file: Path) -> CheckResult:
    part, checks = PARTS[part_id], load_checks(part_id)
    function: Callable[[ModuleType], None] = getattr(checks, check)
    guard = Guard(part.module, part.reference, part.forbidden, checks)
    tested = PartUnderTest(file, part.reference, guard)
    torch.manual_seed(0)
    start = time.perf_counter()
    status, message = _outcome(function, tested, file)
    seconds = time.perf_counter() - start
    # What the learner's code did aside outweighs what it returned.
    if guard.violations:
        status, message = "failed", "\n".join(guard.violations)
    elif (replaced := guard.replaced()) is not None:
        status, message = "failed", replaced
    elif status == "passed" and not tested.loaded:
        status, message = "failed", "this check never used the part: that is a defect of the check"
    title = (function.__doc__ or check).strip().splitlines()[0].rstrip(".")
    return CheckResult(check, title, status, message, seconds=seconds)


def _outcome(
    function: Callable[[ModuleType], None], tested: PartUnderTest, file: Path
) -> tuple[Status, str]:
    try:
        function(tested)
    except LoadFailure as failure:
        return "fatal", str(failure)
    except CheckFailure as failure:
        return "failed", str(failure)
    except NotImplementedError as error:
        return "failed", "this is not written yet" + where(error, file)
    except ForbiddenAct as act:
        return "failed", str(act)
    except SystemExit as error:
        return "failed", "the code ends the program (sys.exit)" + where(error, file)
    except BaseException as error:
        place = where(error, file)
        if _out_of_memory(error):
            return "failed", f"the code wanted more memory than the {MEMORY >> 30} GiB allowed{place}"
        name = type(error).__name__
        if place:
            return "failed", f"the code raises {name}: {error}{place}"
        return "failed", f"the check could not go on with what the code returned: {name}: {error}"
    return "passed", ""


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def main(arguments: list[str]) -> NoReturn:
    """Where processes cannot be forked safely, each check starts here in a new interpreter."""
    request: dict[str, Any] = json.loads(arguments[0])
    run(
        request["part"],
        request["check"],
        Path(request["file"]),
        request["seconds"],
        request["answer"],
        request["hang"],
        request["token"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
