"""The roadmap: 26 weeks with their goals, reading, parts, project and hours."""

import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = [
    "Hours",
    "Reference",
    "RoadmapPart",
    "SuccessMetric",
    "Week",
    "WeekProgress",
    "load_roadmap",
    "load_success_metrics",
    "parse_roadmap",
    "parse_success_metrics",
    "progress",
]

WEEKS = 26

WEEK_KEYS: dict[str, type] = {
    "number": int,
    "month": int,
    "title": str,
    "rooms": list,
    "goals": list,
    "reading": list,
    "parts": dict,
    "project": str,
    "hours": dict,
}
HOURS_KEYS: dict[str, type] = {"theory": int, "coding": int, "project": int, "drills": int}
ROADMAP_KEYS: dict[str, type] = {"months": list, "week": list}
SUCCESS_KEYS: dict[str, type] = {"title": str, "measure": str, "target": int, "known": str}
REFERENCE_KEYS: dict[str, type] = {"authors": str, "year": int, "title": str}
REFERENCE_OPTIONAL: dict[str, type] = {"where": str, "id": str}


@dataclass(frozen=True)
class Reference:
    """A paper or book; ``where`` is the place in it, and ``id`` its arXiv id or DOI."""

    authors: str
    year: int
    title: str
    where: str = ""
    id: str = ""


@dataclass(frozen=True)
class RoadmapPart:
    """A part that the week rebuilds, whether or not the library has it yet."""

    id: str
    description: str


@dataclass(frozen=True)
class Hours:
    """The week's hours, by kind of work."""

    theory: int
    coding: int
    project: int
    drills: int

    @property
    def total(self) -> int:
        return self.theory + self.coding + self.project + self.drills


@dataclass(frozen=True)
class Week:
    """One week. ``number`` counts from 1 to 26 and ``month`` from 1 to 6."""

    number: int
    month: int
    month_title: str
    title: str
    rooms: tuple[str, ...]
    goals: tuple[str, ...]
    reading: tuple[Reference, ...]
    parts: tuple[RoadmapPart, ...]
    project: str
    hours: Hours


@dataclass(frozen=True)
class SuccessMetric:
    """One sign that the six months were worth it, in numbers."""

    title: str
    measure: str  # what is counted, by its name in `groundup.course.success`
    target: int
    known: str  # how it comes to be known


@dataclass(frozen=True)
class WeekProgress:
    """The ids of a week's parts in the roadmap's order; ``passed`` lies within ``available``."""

    week: int
    passed: tuple[str, ...]
    available: tuple[str, ...]
    coming: tuple[str, ...]


def load_roadmap() -> tuple[Week, ...]:
    """The 26 weeks in order, from ``roadmap.toml`` beside this module.

    Raises:
        ValueError: as `parse_roadmap`.
    """
    return parse_roadmap(_text())


def load_success_metrics() -> tuple[SuccessMetric, ...]:
    """The measures of success in ``roadmap.toml``.

    Raises:
        ValueError: as `parse_success_metrics`.
    """
    return parse_success_metrics(_text())


def _text() -> str:
    return (files(__package__) / "roadmap.toml").read_text(encoding="utf-8")


def parse_success_metrics(text: str) -> tuple[SuccessMetric, ...]:
    """The measures of success of a roadmap in TOML.

    Raises:
        ValueError: a key is missing or unknown, or a value has the wrong type or is empty.
    """
    rows = tomllib.loads(text).get("success", [])
    tables = (_table(raw, SUCCESS_KEYS, f"success {n}") for n, raw in enumerate(rows, start=1))
    return tuple(SuccessMetric(**table) for table in tables)


def parse_roadmap(text: str) -> tuple[Week, ...]:
    """The weeks of a roadmap in TOML.

    Raises:
        ValueError: the text is not TOML, a key is missing or unknown, a value has the wrong type
            or is empty, the weeks or months are not in order, hours are not positive, or a part's
            id is not kebab-case or is used twice.
    """
    roadmap = _table(tomllib.loads(text), ROADMAP_KEYS, "the roadmap", {"success": list})
    months = _strings(roadmap["months"], "months")
    weeks = tuple(_week(raw, n, months) for n, raw in enumerate(roadmap["week"], start=1))
    if len(weeks) != WEEKS:
        raise ValueError(f"the roadmap must have {WEEKS} weeks, and it has {len(weeks)}")
    in_order = [week.month for week in weeks]
    if in_order != sorted(in_order) or set(in_order) != set(range(1, len(months) + 1)):
        raise ValueError(f"weeks must go through months 1 to {len(months)} in order: {in_order}")
    first_use: dict[str, int] = {}
    for week in weeks:
        for part in week.parts:
            if first_use.setdefault(part.id, week.number) != week.number:
                raise ValueError(
                    f"part {part.id!r} is in week {first_use[part.id]} and in week {week.number}: "
                    "a part belongs to one week"
                )
    return weeks


def progress(
    weeks: Iterable[Week], available: Collection[str], passed: Collection[str]
) -> tuple[WeekProgress, ...]:
    """What is passed, what is here and what is coming, week by week.

    A part outside ``available`` is coming, and it never counts as passed.

    Args:
        weeks: of the roadmap.
        available: ids of the parts that the library has.
        passed: ids of the parts whose checks the learner's own code has passed.
    """
    result = []
    for week in weeks:
        here = tuple(part.id for part in week.parts if part.id in available)
        coming = tuple(part.id for part in week.parts if part.id not in available)
        done = tuple(id for id in here if id in passed)
        result.append(WeekProgress(week.number, done, here, coming))
    return tuple(result)


def _week(raw: object, number: int, months: tuple[str, ...]) -> Week:
    name = f"week {number}"
    week = _table(raw, WEEK_KEYS, name)
    if week["number"] != number:
        raise ValueError(f"{name} must come next, and the number there is {week['number']}")
    if not 1 <= week["month"] <= len(months):
        raise ValueError(f"{name}: month must be 1 to {len(months)}, got {week['month']}")
    if not week["reading"]:
        raise ValueError(f"{name}: reading must have at least one reference")
    hours = _table(week["hours"], HOURS_KEYS, f"{name}, hours")
    for kind, count in hours.items():
        if count <= 0:
            raise ValueError(f"{name}: hours of {kind} must be positive, got {count}")
    descriptions = _strings(week["parts"].values(), f"{name}, parts", empty=True)
    for id in week["parts"]:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
            raise ValueError(f"{name}: part ids are kebab-case such as 'rms-norm', got {id!r}")
    return Week(
        number=number,
        month=week["month"],
        month_title=months[week["month"] - 1],
        title=week["title"],
        rooms=_strings(week["rooms"], f"{name}, rooms"),
        goals=_strings(week["goals"], f"{name}, goals"),
        reading=tuple(_reference(each, f"{name}, reading") for each in week["reading"]),
        parts=tuple(map(RoadmapPart, week["parts"], descriptions)),
        project=week["project"],
        hours=Hours(**hours),
    )


def _reference(raw: object, name: str) -> Reference:
    return Reference(**_table(raw, REFERENCE_KEYS, name, REFERENCE_OPTIONAL))


def _table(
    raw: object, required: dict[str, type], name: str, optional: dict[str, type] | None = None
) -> dict[str, Any]:
    """``raw``, once it is a table with exactly these keys, of these types, and no empty string."""
    if not isinstance(raw, dict):
        raise ValueError(f"{name} must be a table, got {raw!r}")
    known = {**required, **(optional or {})}
    if missing := required.keys() - raw:
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    if unknown := raw.keys() - known:
        raise ValueError(f"{name} has unknown keys: {', '.join(sorted(unknown))}")
    for key, value in raw.items():
        # A bool is an int to isinstance, and no hour is "true".
        if type(value) is not known[key] or value == "":
            raise ValueError(f"{name}: {key} must be {known[key].__name__}, got {value!r}")
    return raw


def _strings(raw: Iterable[object], name: str, *, empty: bool = False) -> tuple[str, ...]:
    strings = tuple(each for each in raw if isinstance(each, str) and each)
    if len(strings) != len(tuple(raw)) or not (strings or empty):
        raise ValueError(f"{name} must be strings, none of them empty, got {list(raw)!r}")
    return strings
