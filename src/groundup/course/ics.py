"""The plan as an iCalendar file, which calendars of phones and mail programs can take in."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta

from groundup.course.planner import Session

__all__ = ["calendar"]

LINE = 75  # octets of a line, its end not counted


def calendar(sessions: Iterable[Session], at: time | None, now: datetime) -> str:
    """An event for each session.

    The n-th session of a task always has the same UID, so a calendar that takes in a later plan
    moves the event instead of adding another.

    Args:
        sessions: in the order of their days.
        at: when each day begins; its sessions follow one another, in the local time of whoever
            looks. None makes events of whole days.
        now: with its time zone; when the file is made.

    Returns:
        The text, with lines that end in CR LF and have at most 75 octets.

    Source: RFC 5545, sections 3.1 (lines), 3.3.5 (local time), 3.3.11 (escaped text), 3.6.1.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//groundup//roadmap//EN",
        "CALSCALE:GREGORIAN",
        "X-WR-CALNAME:groundup",
    ]
    count: Counter[str] = Counter()
    begins: dict[object, datetime] = {}  # of each day's next session
    for session in sessions:
        task = session.task
        count[task.id] += 1
        if at is None:
            day = session.day
            when = [
                f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
                f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
            ]
        else:
            begin = begins.get(session.day, datetime.combine(session.day, at))
            end = begins[session.day] = begin + timedelta(minutes=session.minutes)
            when = [f"DTSTART:{begin:%Y%m%dT%H%M%S}", f"DTEND:{end:%Y%m%dT%H%M%S}"]
        name = task.title if task.id.startswith("week-") else task.id
        lines += [
            "BEGIN:VEVENT",
            f"UID:{task.id}-{count[task.id]}@groundup",
            f"DTSTAMP:{stamp}",
            *when,
            f"SUMMARY:{_escaped(f'{name} ({_hours(session.minutes)})')}",
            f"DESCRIPTION:{_escaped(f'Week {task.week}, {task.kind}: {task.title}')}",
            f"CATEGORIES:{task.kind}",
            "TRANSP:" + ("TRANSPARENT" if at is None else "OPAQUE"),
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(_folded(line) + "\r\n" for line in lines)


def _hours(minutes: int) -> str:
    return f"{minutes / 60:g} h"


def _escaped(text: str) -> str:
    for character in ("\\", ";", ","):
        text = text.replace(character, "\\" + character)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")


def _folded(line: str) -> str:
    """Cut so that no line has more than 75 octets, the space before a continued one counted."""
    pieces, size = [""], 0
    for character in line:
        octets = len(character.encode())
        if size + octets > LINE:
            pieces.append(" ")
            size = 1
        pieces[-1] += character
        size += octets
    return "\r\n".join(pieces)
