"""The process in which one program of a model's runs. It ends with the program."""

import gc
import json
import os
import sys
import types
from typing import NoReturn

from groundup.evaluation.seccomp import forbid_system_calls
from groundup.process_limits import limit_process

__all__ = ["main"]

REASON = 500  # characters kept of why a program failed


def main() -> NoReturn:
    """Run the request that standard input holds; write what came of it behind the request's token.

    A process that ends by itself has written nothing, and has not passed.
    """
    request = json.load(sys.stdin)
    report, write, leave = int(sys.argv[1]), os.write, os._exit  # as they are before it runs
    limit_process(
        cpu_seconds=request["seconds"], memory=request["memory"], file_size=request["file_size"]
    )
    if request["confined"]:
        forbid_system_calls()
    module = types.ModuleType("program")
    reason = "passed"
    try:
        exec(compile(request["program"], "<program>", "exec"), vars(module))
    except BaseException as error:  # whatever it is, the program has failed
        reason = f"{type(error).__name__}: {error}"[:REASON]
    gc.disable()
    write(report, f"{request['token']}{reason}".encode("utf-8", "replace"))
    leave(0)
