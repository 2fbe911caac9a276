"""Workspaces: an append-only record, and everything else derived from it and from the files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.course import progress as progress_module
from groundup.course.events import append_event, read_events
from groundup.course.parts.table import PARTS, part_named
from groundup.course.progress import checks_sha256, progress, sha256
from groundup.course.stub import stub_of
from groundup.course.workspace import Workspace, find_workspace, init_workspace
from groundup.errors import GroundupError

ATTENTION = PARTS["attention"]


def record_check(workspace: Workspace, passed: bool) -> None:
    record = {
        "sha256": sha256(workspace.file(ATTENTION)),
        "checks_sha256": checks_sha256(ATTENTION),
    }
    workspace.log("check", part="attention", **record, passed=passed, failed=[])


def state(workspace: Workspace) -> str:
    return progress(workspace)["attention"].state


def test_events_are_appended_and_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append_event(file, "init", version="1")
    before = file.read_bytes()
    append_event(file, "hint", part="größe", level=2)
    assert file.read_bytes().startswith(before)
    assert [(e["event"], e.get("part"), e.get("level")) for e in read_events(file)] == [
        ("init", None, None),
        ("hint", "größe", 2),
    ]


@pytest.mark.parametrize("kept", range(1, 60))
def test_a_line_that_was_cut_off_is_skipped_and_the_next_is_whole(
    tmp_path: Path, kept: int
) -> None:
    file = tmp_path / "events.jsonl"
    append_event(file, "init", version="1")
    whole = file.read_bytes()
    append_event(file, "start", part="ä")
    file.write_bytes(file.read_bytes()[: len(whole) + kept])
    assert [e["event"] for e in read_events(file)] == ["init"]
    append_event(file, "start", part="ö")
    assert [e.get("part") for e in read_events(file)] == [None, "ö"]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "[]",
        '{"event": "init"}',
        '{"event": "init", "time": "yesterday"}',
        '{"event": "hint", "time": "2026-01-05T09:00:00+00:00", "part": "rotary"}',
    ],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "events.jsonl"
    append_event(file, "init", version="1")
    with file.open("a") as lines:
        lines.write(f"{line}\n")
    append_event(file, "start", part="x")
    with pytest.raises(GroundupError, match=r"events.jsonl is damaged at line 2: mend or remove"):
        read_events(file)


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.touch()
    program = (
        "import sys; from pathlib import Path; from groundup.course.events import append_event\n"
        "sys.stdin.read()\n"
        "file, who = Path(sys.argv[1]), sys.argv[2]\n"
        "for n in range(50): append_event(file, 'e', who=who, n=n, pad='x' * 999)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(file), str(who)], stdin=subprocess.PIPE
        )
        for who in range(4)
    ]
    for writer in writers:  # all wait for their input to end, and then begin together
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    events = read_events(file)
    assert len(file.read_bytes().splitlines()) == len(events) == 200
    for who in range(4):
        assert [e["n"] for e in events if e["who"] == str(who)] == list(range(50))


def test_a_new_workspace_holds_what_editors_and_assistants_need(workspace: Workspace) -> None:
    names = {path.name for path in workspace.root.iterdir()}
    assert names == {"AGENTS.md", "README.md", "pyproject.toml", "events.jsonl", "parts"}
    assert [e["event"] for e in workspace.events()] == ["init"]


def test_assistants_are_asked_to_tutor(workspace: Workspace) -> None:
    text = " ".join((workspace.root / "AGENTS.md").read_text().split())
    assert "They asked for a tutor, not for a solution" in text
    assert "Write or complete the body of a function in `parts/`" in text.partition("do not:")[2]


def test_init_again_leaves_what_is_there(workspace: Workspace) -> None:
    (workspace.root / "README.md").write_text("mine")
    before = workspace.events_file.read_bytes()
    assert init_workspace(workspace.root).root == workspace.root
    assert (workspace.root / "README.md").read_text() == "mine"
    assert workspace.events_file.read_bytes() == before


def test_init_goes_on_where_it_was_interrupted(tmp_path: Path, own_home: Path) -> None:
    (tmp_path / "new" / "parts").mkdir(parents=True)
    (tmp_path / "new" / "README.md").write_text("")
    (tmp_path / "new" / ".git").mkdir()
    assert init_workspace(tmp_path / "new").events()[0]["event"] == "init"


@pytest.mark.parametrize("kind", ["file", "full folder", "below a file", "unwritable home"])
def test_init_refuses_and_changes_nothing(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "thesis.tex").write_text("words")
    target = {
        "file": folder / "thesis.tex",
        "full folder": folder,
        "below a file": folder / "thesis.tex" / "new",
        "unwritable home": tmp_path / "new",
    }[kind]
    if kind == "unwritable home":
        monkeypatch.setenv("GROUNDUP_HOME", str(folder / "thesis.tex"))
    with pytest.raises(GroundupError, match=r"is a file|is not empty|cannot write"):
        init_workspace(target)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["thesis.tex"]
    assert (folder / "thesis.tex").read_text() == "words"
    assert not (tmp_path / "new").exists()


def test_the_workspace_is_found_from_below_and_from_elsewhere(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Path | None:
        workspace = find_workspace()
        return workspace.root if workspace else None

    monkeypatch.chdir(tmp_path)
    assert found() is None
    first, last = init_workspace(tmp_path / "a").root, init_workspace(tmp_path / "b").root
    assert found() == last
    monkeypatch.chdir(first / "parts")
    assert found() == first
    monkeypatch.setenv("GROUNDUP_WORKSPACE", str(last))
    assert found() == last


def test_a_name_that_is_no_workspace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDUP_WORKSPACE", str(tmp_path))
    with pytest.raises(GroundupError, match=r"GROUNDUP_WORKSPACE names .* not a workspace"):
        find_workspace()
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_something_else_is_no_workspace(tmp_path: Path) -> None:
    append_event(tmp_path / "events.jsonl", "launch")
    with pytest.raises(GroundupError, match="does not begin with an init event"):
        Workspace(tmp_path)


def test_starting_twice_keeps_the_learners_file(workspace: Workspace) -> None:
    file = workspace.start(ATTENTION)
    assert file.read_text() == stub_of(ATTENTION.reference.read_text())
    file.write_text("mine")
    assert workspace.start(ATTENTION).read_text() == "mine"
    assert [e["event"] for e in workspace.events()] == ["init", "start"]


def test_reset_keeps_every_version_that_it_takes_away(workspace: Workspace) -> None:
    file = workspace.start(ATTENTION)
    kept = []
    for text in ("first", "second"):
        file.write_text(text)
        kept.append(workspace.reset(ATTENTION))
    assert [path.read_text() for path in kept] == ["first", "second"]
    assert file.read_text() == stub_of(ATTENTION.reference.read_text())
    assert [e["backup"] for e in workspace.events()[2:]] == [path.name for path in kept]


def test_the_state_follows_the_record_and_the_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(workspace) == "not started"
    file = workspace.start(ATTENTION)
    assert state(workspace) == "started"
    record_check(workspace, passed=False)
    assert state(workspace) == "failing"
    file.write_text("good")
    record_check(workspace, passed=True)
    assert state(workspace) == "passed"
    file.write_text("better")
    assert state(workspace) == "changed since it passed"
    file.write_text("good")
    assert state(workspace) == "passed"
    with monkeypatch.context() as patch:
        patch.setattr(progress_module, "checks_sha256", lambda part: "newer")
        assert state(workspace) == "passed older checks"
        assert not progress(workspace)["attention"].ever_passed
        patch.setattr(sys.modules[__name__], "checks_sha256", lambda part: "newer")
        record_check(workspace, passed=False)
        assert state(workspace) == "failing"
    record_check(workspace, passed=False)
    assert state(workspace) == "failing"
    file.unlink()
    assert state(workspace) == "not started"


def test_the_same_state_comes_from_a_copy_of_the_folder(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = workspace.start(ATTENTION)
    record_check(workspace, passed=True)
    workspace.log("hint", part="attention", level=2)
    workspace.log("solution", part="attention")
    copy = tmp_path / "copy"
    (copy / "parts").mkdir(parents=True)
    (copy / "events.jsonl").write_bytes(workspace.events_file.read_bytes())
    (copy / "parts" / file.name).write_bytes(file.read_bytes())
    assert progress(Workspace(copy)) == progress(workspace)
    found = progress(workspace)["attention"]
    assert (found.state, found.checks, found.hints, found.solution_seen) == ("passed", 1, 2, True)


def test_events_have_the_time_and_one_line_each(workspace: Workspace) -> None:
    workspace.log("hint", part="attention", level=1)
    for line in workspace.events_file.read_text().splitlines():
        assert json.loads(line)["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("atention", "attention"), ("rmsnorm", "rms-norm"), ("kv_cash", "kv-cache")],
)
def test_a_mistyped_part_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(GroundupError, match=f"no part '{typed}': did you mean '{meant}'"):
        part_named(typed)


def test_stubs_and_references_pass_the_workspaces_own_type_check(workspace: Workspace) -> None:
    def complaints() -> str:
        mypy = [sys.executable, "-m", "mypy", "--no-color-output"]
        run = subprocess.run(mypy, cwd=workspace.root, capture_output=True, text=True, timeout=300)
        return "" if run.returncode == 0 else run.stdout + run.stderr

    for part in PARTS.values():
        workspace.start(part)
    assert complaints() == ""
    for part in PARTS.values():
        workspace.file(part).write_text(part.reference.read_text())
    workspace.file(ATTENTION).with_name("wrong.py").write_text(
        "from attention import attention\nattention(1, 2, 3)\n"
    )
    found = complaints().splitlines()
    assert len(found) == 4  # the three arguments of the planted file, and the count
    assert all(line.startswith("parts/wrong.py:2: error: Argument") for line in found[:3])
