"""The warm grader: a process that imports what checks need, and forks one process for each check.

Importing torch takes longer than all checks of a part together, so it is done once. The process
listens on a socket in a folder that only its user can open, answers one request at a time, and ends
after a while without any.
"""

import gc
import json
import os
import socket
import sys
import time
from pathlib import Path

from groundup.course.grader.child import load_checks
from groundup.course.grader.client import GraderAddress
from groundup.course.grader.judge import judge
from groundup.course.parts.table import PARTS

__all__ = ["serve"]

IDLE_SECONDS = 1800.0
POLL_SECONDS = 2.0  # how often it looks whether its address is still there
REQUEST_BYTES = 65536


def serve(address: GraderAddress, idle_seconds: float = IDLE_SECONDS) -> None:
    """Answer requests until none has come for ``idle_seconds`` or the address is taken away."""
    for part_id in PARTS:
        load_checks(part_id)
    gc.collect()
    gc.freeze()  # what is here now is never collected, so a fork need not copy its pages
    with socket.socket(socket.AF_UNIX) as listener:
        # Bound under another name and renamed: who finds the socket can connect to it.
        unready = address.socket.with_suffix(f".{os.getpid()}")
        listener.bind(str(unready))
        listener.listen()
        listener.settimeout(min(POLL_SECONDS, idle_seconds))
        mine = unready.stat().st_ino
        unready.rename(address.socket)
        deadline = time.monotonic() + idle_seconds
        while time.monotonic() < deadline and _inode(address.socket) == mine:
            if _answer_next(listener):
                deadline = time.monotonic() + idle_seconds
        if _inode(address.socket) == mine:
            address.socket.unlink()
        listener.settimeout(0)
        while _answer_next(listener):  # who connected before the address was gone
            pass


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _answer_next(listener: socket.socket) -> bool:
    """Answer the next request; False if none came in the listener's time."""
    try:
        connection, _ = listener.accept()
    except (TimeoutError, BlockingIOError):
        return False
    with connection:
        _answer(connection)
    return True


def _answer(connection: socket.socket) -> None:
    connection.settimeout(10)
    try:
        with connection.makefile("rb") as lines:
            line = lines.readline(REQUEST_BYTES)
        if not line.endswith(b"\n"):
            return  # who asked was ended before it had
        request = json.loads(line)
        for result in judge(
            request["part"],
            Path(request["file"]),
            seconds=request["seconds"],
            gone=lambda: _closed(connection),
        ):
            connection.sendall(json.dumps(result.to_json()).encode() + b"\n")
        connection.sendall(b"{}\n")
    except (ConnectionError, TimeoutError):
        return  # who asked has gone: nothing is lost but the answer


def _closed(connection: socket.socket) -> bool:
    """Whether the other end has hung up: it sends nothing after its request."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(10)


if __name__ == "__main__":
    os.chdir("/")  # not to keep in use the folder in which the first check was asked for
    serve(GraderAddress(Path(sys.argv[1])))
