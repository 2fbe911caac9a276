"""The roadmap's data, its rules of progress, and its view in the terminal."""

import io
import re
import subprocess
import sys
from importlib.resources import files
from typing import Literal

import pytest
from rich.console import Console

from groundup.cli.roadmap import show_roadmap
from groundup.course.roadmap import Week, load_roadmap, parse_roadmap, progress
from groundup.errors import GroundupError

TOML = (files("groundup.course") / "roadmap.toml").read_text(encoding="utf-8")
WEEKS = load_roadmap()
IDS = [part.id for week in WEEKS for part in week.parts]
ROOMS = {
    *("scratch", "tokenizers", "models", "training", "tuning", "quantization", "engine"),
    *(
        "evaluation",
        "serving",
        "prompting",
        "retrieval",
        "agents",
        "vision",
        "operations",
        "designs",
    ),
    *("course", "app"),
}


def view(
    week: int | None,
    width: int,
    *,
    available: tuple[str, ...] = (),
    passed: tuple[str, ...] = (),
    swapped: tuple[str, ...] = (),
    terminal: bool = False,
) -> str:
    out = io.StringIO()
    colours: Literal["auto", "standard"] = "standard" if terminal else "auto"
    console = Console(file=out, width=width, force_terminal=terminal, color_system=colours)
    show_roadmap(WEEKS, week, available, passed, swapped, console)
    return out.getvalue()


def line_with(text: str, shown: str) -> str:
    (line,) = [line for line in shown.splitlines() if text in line]
    return line


# ---- the data


def test_every_week_is_planned_as_the_course_promises() -> None:
    for week in WEEKS:
        assert 15 <= week.hours.total <= 20, week.number
        assert 3 <= len(week.goals) <= 5, week.number
        assert 2 <= len(week.reading) <= 4, week.number
        assert set(week.rooms) <= ROOMS, week.number
    assert [week.number for week in WEEKS] == list(range(1, 27))


def test_goals_projects_and_descriptions_are_sentences() -> None:
    for week in WEEKS:
        for text in (*week.goals, week.project, *(part.description for part in week.parts)):
            assert re.fullmatch(r"[A-Z].*\.", text), text


def test_identifiers_of_papers_have_their_forms_and_agree_with_the_year() -> None:
    references = [reference for week in WEEKS for reference in week.reading]
    with_arxiv = [r for r in references if r.id.startswith("arXiv:")]
    assert len(with_arxiv) > 50
    for reference in references:
        assert re.fullmatch(r"(arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|)", reference.id), reference
    for reference in with_arxiv:
        assert reference.year == 2000 + int(reference.id[6:8]), reference
        # Since 2015 the running number has five digits.
        assert (len(reference.id) == 16) == (reference.year >= 2015), reference


def test_no_paper_is_cited_in_two_ways() -> None:
    cited: dict[str, set[tuple[str, int, str]]] = {}
    for week in WEEKS:
        for reference in week.reading:
            key = reference.id or reference.title
            cited.setdefault(key, set()).add((reference.authors, reference.year, reference.title))
    assert {key: ways for key, ways in cited.items() if len(ways) > 1} == {}


def test_every_part_of_the_table_is_in_the_roadmap() -> None:
    table = pytest.importorskip("groundup.course.parts.table", reason="no parts table yet")
    assert table.PARTS
    assert set(table.PARTS) <= set(IDS)


# ---- validation


FAULTS = {
    "week 2 must come next": ("number = 2\n", "number = 3\n"),
    "week 1: month must be 1 to 6, got 7": ("month = 1\n", "month = 7\n"),
    "in order": ("number = 26\nmonth = 6\n", "number = 26\nmonth = 5\n"),
    "week 1 lacks title": ('title = "A neural network in NumPy"\n', ""),
    "week 1 has unknown keys: room": ("rooms = [", "room = 1\nrooms = ["),
    "week 1: title must be str, got ''": ('"A neural network in NumPy"', '""'),
    "week 1, rooms must be strings": ('rooms = ["scratch"]', "rooms = []"),
    "week 1, goals must be strings": ('goals = [\n    "Derive', 'goals = [\n    1, "Derive'),
    "hours of theory must be positive, got 0": ("theory = 5", "theory = 0"),
    "hours of theory must be positive, got -5": ("theory = 5", "theory = -5"),
    "hours: theory must be int, got 5.5": ("theory = 5", "theory = 5.5"),
    "hours: theory must be int, got True": ("theory = 5", "theory = true"),
    "hours lacks drills": (", drills = 1", ""),
    "hours has unknown keys: sleep": ("{ theory", "{ sleep = 8, theory"),
    "reading has unknown keys: author": ("{ authors", '{ author = "I", authors'),
    "reading lacks year": ("year = 1986, ", ""),
    "'autograd' is in week 1 and in week 2": ("sgd-momentum = ", "autograd = "),
    "kebab-case such as 'rms-norm', got 'sgd_momentum'": ("sgd-momentum", "sgd_momentum"),
    "week 1, parts must be strings": ('linear = "', 'linear = "" # '),
    "has unknown keys: weeks": ("months = [", "weeks = 26\nmonths = ["),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_planted_fault_is_refused_by_name(message: str) -> None:
    old, new = FAULTS[message]
    assert old in TOML
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_roadmap(TOML.replace(old, new, 1))


def test_a_lost_week_a_week_without_reading_and_a_part_twice_in_one_are_refused() -> None:
    with pytest.raises(ValueError, match="must have 26 weeks, and it has 25"):
        parse_roadmap(TOML[: TOML.rindex("[[week]]")])
    with pytest.raises(ValueError, match="week 1: reading must have at least one"):
        parse_roadmap(re.sub(r"reading = \[.*?\n\]", "reading = []", TOML, count=1, flags=re.S))
    with pytest.raises(ValueError, match="Cannot overwrite a value"):
        parse_roadmap(TOML.replace('\nlinear = "', '\nlinear = "Twice."\nlinear = "', 1))


# ---- progress


def test_progress_separates_passed_available_and_coming() -> None:
    found = progress(WEEKS, {"attention", "rotary", "sampling"}, {"rotary"})
    assert len(found) == 26
    assert found[2].week == 3
    assert found[2].available == ("attention", "rotary")
    assert found[2].passed == ("rotary",)
    third = [part.id for part in WEEKS[2].parts]
    assert found[2].coming == tuple(id for id in third if id not in ("attention", "rotary"))
    assert sum(len(each.available) for each in found) == 3
    assert sum(len(each.coming) for each in found) == len(IDS) - 3


def test_a_part_that_is_coming_never_counts_as_passed() -> None:
    found = progress(WEEKS, {"attention"}, set(IDS))
    assert [each.passed for each in found if each.passed] == [("attention",)]


def test_ids_outside_the_roadmap_count_for_nothing() -> None:
    assert progress(WEEKS, {"no-such-part"}, {"no-such-part"}) == progress(WEEKS, (), ())


# ---- the view


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("week", [None, *range(1, 27)])
def test_no_line_is_longer_than_the_console_or_80_columns(week: int | None, width: int) -> None:
    shown = view(week, width, available=tuple(IDS), passed=tuple(IDS[::2]))
    assert max(map(len, shown.splitlines())) <= min(width, 80)
    assert not [line for line in shown.splitlines() if line.endswith(" ")]


@pytest.mark.parametrize("width", [50, 80])
def test_the_overview_has_every_week_once_with_its_hours(width: int) -> None:
    shown = view(None, width)
    months = shown.partition("\n\n")[2]
    for week in WEEKS:
        (line,) = re.findall(rf"^ ?{week.number} .*$", months, flags=re.M)
        assert line.split()[1] == week.title.split()[0]
        assert f" {week.hours.total} h" in line
    assert f"{sum(week.hours.total for week in WEEKS)} hours" in shown


def test_the_overview_counts_parts_and_names_the_next() -> None:
    available = ("attention", "rotary", "sampling")
    shown = view(None, 80, available=available, passed=("rotary", "sampling"))
    assert f"2 of 3 parts passed (66 %), {len(IDS) - 3} more coming" in shown
    assert line_with("Attention and positions", shown).endswith(
        f"18 h ●○ 1/2 +{len(WEEKS[2].parts) - 2} coming"
    )
    assert "Next: attention, week 3 " in shown


def test_the_share_reaches_100_only_when_all_that_is_here_is_passed() -> None:
    assert "(99 %)" in view(None, 80, available=tuple(IDS), passed=tuple(IDS[:-1]))
    everything = view(None, 80, available=tuple(IDS), passed=tuple(IDS))
    assert f"{len(IDS)} of {len(IDS)} parts passed (100 %)\n" in everything
    assert "coming" not in everything
    assert "Next" not in everything


def test_the_overview_without_any_part_says_so() -> None:
    assert f"No part is here yet, {len(IDS)} are coming" in view(None, 80, passed=tuple(IDS))


def test_a_week_shows_all_it_has() -> None:
    def words(week: Week) -> str:
        return " ".join(view(week.number, 50, available=tuple(IDS)).split())

    for week in WEEKS:
        shown = words(week)
        texts = [week.title, week.month_title, week.project, *week.goals]
        texts += [text for part in week.parts for text in (part.id, part.description)]
        texts += [reference.title for reference in week.reading]
        texts += [f"drills {week.hours.drills}", f"{week.hours.total} in all"]
        assert [text for text in texts if text not in shown] == []


def test_each_part_of_a_week_shows_its_state() -> None:
    shown = view(
        4,
        80,
        available=("rms-norm", "swiglu", "sampling"),
        passed=("rms-norm", "swiglu", "cosine-schedule"),
        swapped=("swiglu", "cosine-schedule", "sampling"),
    )
    assert line_with("rms-norm", shown) == "  ● rms-norm  ✓ passed"
    assert line_with("swiglu", shown) == "  ● swiglu  ✓ swapped in"
    assert line_with("sampling  ", shown) == "  ○ sampling  to do"
    assert line_with("cosine-schedule", shown) == "  + cosine-schedule  coming"
    assert "2 of 3 passed, 7 coming" in shown


def test_parts_that_are_coming_are_never_shown_as_done() -> None:
    for week in (None, *range(1, 27)):
        shown = view(week, 80, passed=tuple(IDS), swapped=tuple(IDS))
        assert not re.search("[●✓]|passed|swapped in", shown), week


@pytest.mark.parametrize("number", [0, 27, -1])
def test_a_week_outside_the_roadmap_is_refused_with_the_range(number: int) -> None:
    with pytest.raises(GroundupError, match=f"no week {number}: the roadmap has weeks 1 to 26"):
        view(number, 80)


def test_colour_adds_nothing_but_control_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for week in (None, 3):
        plain, coloured = (
            view(week, 80, available=("attention", "rotary"), passed=("rotary",), terminal=terminal)
            for terminal in (False, True)
        )
        assert "\x1b" not in plain
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
        # Bold, dim and green read on light and dark alike; no other colour is used.
        codes = {
            code for codes in re.findall(r"\x1b\[([\d;]*)m", coloured) for code in codes.split(";")
        }
        assert codes == {"0", "1", "2", "32"}


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = view(None, 80, available=("rotary",), passed=("rotary",), terminal=True)
    assert "●" in shown
    assert "\x1b[32m" not in shown


def test_importing_the_roadmap_imports_nothing_heavy() -> None:
    program = (
        "import sys, groundup.course.roadmap as r; r.load_roadmap(); import groundup.cli.roadmap\n"
        "print(sorted({'torch', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
