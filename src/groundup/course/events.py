"""What happened in a workspace, in its order: an append-only file of JSON lines.

Everything else about a learner's progress is derived from it.
"""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError

__all__ = ["Event", "append_event", "read_events"]

Event = dict[str, Any]  # "time" (ISO 8601, UTC), "event" (its kind), and what the kind needs

NEEDS: dict[str, set[str]] = {
    "check": {"part", "sha256", "checks_sha256", "passed"},
    "hint": {"part", "level"},
    "study": {"task", "minutes"},
    "task": {"task", "done"},
}


def append_event(path: Path, kind: str, **facts: Any) -> None:
    """Write one event behind the others; on return it is on the disk."""
    event = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **facts}
    line = json.dumps(event, ensure_ascii=False) + "\n"
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # held for a moment only
        if (size := file.seek(0, os.SEEK_END)) > 0:
            file.seek(size - 1)
            if file.read(1) != b"\n":  # the last writer was cut off: its line stays, and is skipped
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> list[Event]:
    """All events, the oldest first. A line that was cut off by a crash is skipped.

    Raises:
        GroundupError: a whole line is not an event: the file was edited or damaged.
    """
    events: list[Event] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            if line.startswith(b"{") and not line.endswith(b"}"):
                continue
            event = None
        if not _sound(event):
            raise GroundupError(f"{path} is damaged at line {number}: mend or remove that line")
        events.append(event)
    return events


def _sound(event: object) -> bool:
    """Whether it has what those who read it rely on."""
    if not isinstance(event, dict) or not {"event", "time"} <= set(event):
        return False
    try:
        datetime.fromisoformat(event["time"])
    except (TypeError, ValueError):
        return False
    return NEEDS.get(event["event"], set()) <= set(event)
