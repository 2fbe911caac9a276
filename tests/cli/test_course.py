"""The learner's commands, from an empty folder to an app that runs on their code."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from groundup.cli import main
from groundup.course.parts.table import PARTS
from groundup.course.workspace import Workspace

Run = Callable[..., subprocess.CompletedProcess[str]]
Terminal = Callable[..., pexpect.spawn]


def kinds(workspace: Workspace) -> list[str]:
    return [event["event"] for event in workspace.events()]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The line that a command which failed wrote."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("groundup: ")
    return done.stderr


def test_the_way_from_an_empty_folder_to_a_swapped_part(
    run: Run, tmp_path: Path, attention_source: str
) -> None:
    made = run("init")
    root = tmp_path / "here" / "workspace"
    assert made.stdout == f"Your workspace is {root}\nNext: groundup next\n"
    workspace, file = Workspace(root), root / "parts" / "attention.py"

    assert "Begin: groundup start autograd" in run("next").stdout
    run("start", "autograd")
    assert f"Go on in {root / 'parts' / 'tensor.py'}" in run("next").stdout
    assert f"Wrote {file}" in run("start", "attention").stdout

    stub = run("check")
    assert stub.returncode == 1
    assert "this is not written yet" in stub.stdout
    assert stub.stdout.endswith("0 of 10 checks passed. A hint: groundup hint attention\n")

    file.write_text(attention_source)
    assert run("swap").returncode == 1
    good = run("check", "attention")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.count("✓") == 10
    assert "starting the grader" not in good.stdout

    assert "groundup now runs on your attention" in run("swap").stdout
    status = run("status").stdout
    assert re.search(r"^autograd +started", status, re.M)
    assert re.search(r"^attention +passed, swapped in", status, re.M)
    assert f"{len(PARTS) - 2} more, untouched" in status
    assert f"Go on in {root / 'parts' / 'tensor.py'}" in run("next").stdout
    assert run("unswap", "attention").returncode == 0
    assert "passed, swapped in" not in run("status").stdout
    assert kinds(workspace) == ["init", "start", "start", "check", "check", "swap", "unswap"]
    verdicts = [event["passed"] for event in workspace.events() if event["event"] == "check"]
    assert verdicts == [False, True]


def test_a_wrong_solution_is_told_what_is_wrong(
    run: Run, workspace: Workspace, attention_source: str
) -> None:
    file = workspace.start(PARTS["attention"])
    file.write_text(attention_source.replace("/ D**0.5", ""))
    done = run("check", "attention")
    assert done.returncode == 1
    assert "✗ Multi-head: equals torch's fused attention" in done.stdout
    assert "✓ Shapes that do not fit raise ValueError" in done.stdout
    assert kinds(workspace)[-1] == "check"


def test_bench_shows_ratios_and_the_scaling(
    run: Run, workspace: Workspace, attention_source: str
) -> None:
    workspace.start(PARTS["attention"]).write_text(attention_source)
    done = run("check", "--bench")
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert rows[0] == ["size", "yours", "reference", "yours/reference"]
    for row, size in zip(rows[1:3], ["512", "1,024"], strict=True):
        assert row[0] == size
        assert float(row[5]) == pytest.approx(float(row[1]) / float(row[3]), abs=0.006)
    assert rows[3][:2] == ["scaling", "×"]
    assert float(rows[3][2]) == pytest.approx(float(rows[2][1]) / float(rows[1][1]), abs=0.06)


def test_watch_checks_at_every_save_and_leaves_at_ctrl_c(
    terminal: Terminal, workspace: Workspace, attention_source: str
) -> None:
    file = workspace.start(PARTS["attention"])
    child = terminal("check", "--watch")
    child.expect_exact("0 of 10 checks passed")
    child.expect_exact("waiting for attention.py to be saved (Ctrl-C leaves)")
    file.write_text("def attention(:\n")
    child.expect_exact("attention.py is not valid Python")
    child.expect_exact("waiting for")
    file.unlink()  # as some editors do while they save
    file.write_text(attention_source)
    child.expect_exact("all 10 checks passed")
    child.expect_exact("waiting for")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert kinds(workspace) == ["init", "start", "check", "check", "check"]


def test_hints_have_three_levels_and_are_recorded(run: Run, workspace: Workspace) -> None:
    shown = [run("hint", "attention").stdout for _ in range(4)]
    assert [text.split()[:2] for text in shown] == [["Hint", f"{n}."] for n in (1, 2, 3, 3)]
    assert "groundup solution attention" in shown[2]
    assert [event.get("level") for event in workspace.events()] == [None, 1, 2, 3, 3]


def test_a_lesson_is_shown_and_recorded(run: Run, workspace: Workspace) -> None:
    assert "Read first: groundup lesson attention" in run("start", "attention").stdout
    shown = run("lesson", COLUMNS="120")  # of the part that was changed last
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "softmax(q kᵀ / √D) v" in shown.stdout
    assert "What an interviewer asks" in shown.stdout
    assert max(len(line.rstrip()) for line in shown.stdout.splitlines()) <= 90
    assert workspace.events()[-1]["event"] == "lesson"
    assert workspace.events()[-1]["part"] == "attention"


def test_a_lesson_needs_no_workspace(run: Run, tmp_path: Path) -> None:
    assert "The idea" in run("lesson", "rotary").stdout
    assert "there is no workspace here" in one_line(run("lesson"))
    assert list((tmp_path / "here").iterdir()) == []


def test_the_solution_is_shown_and_recorded_only_when_wanted(
    run: Run, workspace: Workspace
) -> None:
    for no in (b"", b"n\n"):
        refused = run("solution", "attention", stdin=no)
        assert (refused.returncode, refused.stdout) == (1, "")
    assert kinds(workspace) == ["init"]
    source = PARTS["attention"].reference.read_text()
    assert run("solution", "attention", stdin=b"y\n").stdout == source
    assert run("solution", "attention", "--yes").stdout == source
    assert kinds(workspace) == ["init", "solution", "solution"]
    assert "(solution seen)" in run("status").stdout


def test_reset_says_where_the_file_is_kept(run: Run, workspace: Workspace) -> None:
    workspace.start(PARTS["attention"]).write_text("mine")
    said = run("reset", "attention").stdout
    assert Path(said.split()[-1]).read_text() == "mine"


def test_a_mistyped_part_suggests_the_nearest(run: Run, workspace: Workspace) -> None:
    for command in ("start", "lesson", "check", "hint", "solution", "swap", "unswap", "reset"):
        assert "did you mean 'attention'?" in one_line(run(command, "atention"))
    assert kinds(workspace) == ["init"]


def test_commands_say_what_has_to_come_before_them(run: Run, workspace: Workspace) -> None:
    for arguments, expected in {
        ("check",): "groundup next says which to begin with",
        ("check", "attention"): "begin this part with `groundup start attention`",
        ("swap", "attention"): "its state is 'not started'",
        ("unswap", "attention"): "is not swapped in: there is nothing to undo",
        ("reset", "attention"): "begin this part with `groundup start attention`",
    }.items():
        assert expected in one_line(run(*arguments))
    assert kinds(workspace) == ["init"]


def test_without_a_workspace_every_command_says_so_and_writes_nothing(
    run: Run, tmp_path: Path, own_home: Path
) -> None:
    for command in (
        "next",
        "plan",
        "status",
        "start attention",
        "check",
        "hint",
        "swap",
        "reset attention",
    ):
        said = one_line(run(*command.split()))
        assert "there is no workspace here or above: make one with `groundup init`" in said
        said = one_line(run(*command.split(), GROUNDUP_WORKSPACE=str(tmp_path / "here")))
        assert f"GROUNDUP_WORKSPACE names {tmp_path / 'here'}, which is not a workspace" in said
    assert list((tmp_path / "here").iterdir()) == []
    assert [path.name for path in own_home.iterdir()] == ["models"]


def test_a_plan_is_set_shown_and_written_as_a_calendar(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    assert "there is no plan yet: begin with `groundup plan --start today`" in one_line(run("plan"))
    shown = run("plan", "--start", "today", "--hours", "2", "--weekend-hours", "2").stdout
    assert "week-1-theory" in shown or "week-1-project" in shown
    settings = ("--rest", "sun", "--rest", "saturday", "--at", "19:30", "--start", "2200-01-06")
    assert "nothing is planned" in run("plan", *settings).stdout
    assert "week-1-theory is done" in run("plan", "--done", "week-1-theory").stdout
    file = tmp_path / "plan.ics"
    assert f"sessions to {file}" in run("plan", "--ics", str(file)).stdout
    calendar = file.read_bytes().decode()
    assert calendar.startswith("BEGIN:VCALENDAR\r\n")
    assert "DTSTART:22000106T193000\r\n" in calendar
    assert "DTSTART:22000111" not in calendar  # a Saturday
    assert "UID:week-1-theory-1@groundup" not in calendar
    assert kinds(workspace) == ["init", "schedule", "schedule", "task"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--start soon", "'soon' is not a date: write it as 2026-01-31, or today"),
        ("--hours 1.1", "a weekday of 1.1 hours cannot be planned"),
        ("--rest someday", "'someday' is not a day of the week"),
        ("--rest s", "'s' is not a day of the week"),
        ("--at noon", "'noon' is not a time: write it as in 19:30, or none"),
        ("--done week-1-theori", "did you mean 'week-1-theory'?"),
        ("--done rotary", "rotary is a part, so it is done when its checks pass"),
        ("--start today --ics no/such/folder.ics", "cannot write no/such/folder.ics"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], arguments: str, expected: str
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["plan", *arguments.split()])
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("week", ["0", "27", "-1"])
def test_a_week_that_the_roadmap_lacks_is_one_line(run: Run, week: str) -> None:
    said = one_line(run("roadmap", "--", week))
    assert f"there is no week {week}: the roadmap has weeks 1 to 26" in said


def test_the_roadmap_needs_no_workspace_and_shows_progress_with_one(
    run: Run, swapped_attention: Callable[[str], Path], attention_source: str
) -> None:
    assert f"0 of {len(PARTS)} parts passed" in run("roadmap", GROUNDUP_WORKSPACE="").stdout
    swapped_attention(attention_source)
    assert f"1 of {len(PARTS)} parts passed" in run("roadmap").stdout
    assert "attention" in run("roadmap", "3").stdout


@pytest.mark.parametrize("columns", ["80", "50"])
def test_screens_fit_the_terminal(run: Run, workspace: Workspace, columns: str) -> None:
    long = max(PARTS, key=len)
    workspace.start(PARTS[long])
    for command in ("status", "roadmap", "roadmap 3", "hint attention", "lesson swiglu", "--help",
                    "chat --help"):  # fmt: skip
        lines = run(*command.split(), COLUMNS=columns).stdout.splitlines()
        wide = [line for line in lines if len(line) > int(columns) and "/" not in line]
        assert wide == [], command
    assert long in run("status", COLUMNS=columns).stdout.split()  # whole: it has to be typed


def test_doctor_finds_nothing_wrong_with_a_sound_installation(
    run: Run, workspace: Workspace
) -> None:
    done = run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[:4] for line in done.stdout.splitlines()] == ["ok  "] * 7


def test_doctor_names_what_is_wrong_and_what_to_do(
    run: Run, swapped_attention: Callable[[str], Path], tmp_path: Path
) -> None:
    swapped_attention("pass").unlink()
    done = run("doctor", GROUNDUP_HOME=str(tmp_path / "empty"))
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("!!")]
    assert len(wrong) == 2
    assert "smollm2-135m-instruct is not here, or damaged" in wrong[0]
    assert "groundup models pull" in wrong[0]
    assert "attention.py is gone, so the reference serves" in wrong[1]
