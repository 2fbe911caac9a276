"""How much memory a process and those below it take."""

from contextlib import suppress

import psutil

__all__ = ["process_memory"]


def process_memory(pid: int) -> int:
    """Bytes in memory of a process and all below it; 0 where there is none. Shared pages count in
    each of them."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += each.memory_info().rss
    return total
