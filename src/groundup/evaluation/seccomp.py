"""A filter of system calls: what a computation needs, and nothing that changes the world.

Linux asks the filter, a small program, at each call of the process and of all that it would start;
nothing takes the filter away again. Files can be read, none can be written, made, renamed or
removed; there is no socket, no other process and no signal to one.
"""

import ctypes
import os
import platform
import struct
import sys

__all__ = ["forbid_system_calls", "has_seccomp"]

# Calls that are let through, with their numbers on x86_64 and aarch64 (None: not there).
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "lseek": (8, 62), "fcntl": (72, 25), "dup": (32, 23),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79),
    "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "fadvise64": (221, 223),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "futex": (202, 98), "sched_yield": (24, 124), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getrusage": (98, 165),
    "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179), "getpid": (39, 172),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
# Those that open a file, with the place of their flags among the arguments: to read only.
OPENING = {"open": ((2, None), 1), "openat": ((257, 56), 2)}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # AUDIT_ARCH of each

# linux/bpf_common.h, linux/seccomp.h and linux/prctl.h
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
KILL, REFUSE, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000  # REFUSE answers EPERM
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
PR_GET_SECCOMP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 21, 22, 38, 2


def has_seccomp() -> bool:
    """Whether this system has such filters, and its calls are known here."""
    if sys.platform != "linux" or platform.machine() not in MACHINES or sys.maxsize < 2**32:
        return False
    mode: int = ctypes.CDLL(None).prctl(PR_GET_SECCOMP, 0, 0, 0, 0)  # -1 where there are none
    return mode >= 0


def forbid_system_calls() -> None:
    """Allow this process nothing but what the module's text says, for good.

    A call that is not allowed fails with `PermissionError`.

    Raises:
        OSError: the system refuses the filter.
    """
    code = _program(*MACHINES[platform.machine()])
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(header), 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"no filter of system calls: {os.strerror(number)}")


def _program(column: int, architecture: int) -> bytes:
    """The filter, in the language of packet filters: 8 bytes an instruction."""

    def step(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, k)

    # A process may call by the numbers of another architecture: it would be misunderstood.
    code = step(LOAD, ARCHITECTURE) + step(EQUAL, architecture, 1) + step(RETURN, KILL)
    code += step(LOAD, NUMBER)
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            code += step(EQUAL, number, 0, 1) + step(RETURN, ALLOW)
    for numbers, place in OPENING.values():
        if (number := numbers[column]) is not None:
            code += step(EQUAL, number, 0, 4) + step(LOAD, ARGUMENTS + 8 * place)
            code += step(ANY_BIT, WRITING, 1) + step(RETURN, ALLOW) + step(RETURN, REFUSE)
    return code + step(RETURN, REFUSE)
