"""Limits that a process sets itself before it runs code that somebody else wrote."""

import resource
import sys
from pathlib import Path

__all__ = ["limit_process"]


def limit_process(*, cpu_seconds: int, memory: int, file_size: int) -> None:
    """Limit this process, for good: it cannot raise them again.

    Args:
        cpu_seconds: of all its threads together; beyond, the system ends it.
        memory: bytes of addresses beyond what it has now, on Linux; macOS has no such limit.
        file_size: bytes, the longest that a file which it writes can get.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
