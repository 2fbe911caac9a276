"""Learning in the browser: the first ten minutes, and a file that two edit at once."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import icalendar
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from groundup.course.parts.table import PARTS
from groundup.course.progress import sha256
from groundup.course.workspace import Workspace, init_workspace
from tests.app.browser.site import Site, start_site

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[Site]:
    """A site whose workspace the first test makes, or whichever needs it."""
    with start_site(tmp_path_factory.mktemp("learning"), tiny_model) as running:
        yield running


@pytest.fixture
def learner(learning: Site) -> Workspace:
    return init_workspace(learning.workspace)


def events(site: Site) -> list[dict[str, Any]]:
    text = (site.workspace / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def write(page: Page, text: str) -> None:
    """Put a text into the editor, as one who selects all and pastes; wait until it is saved."""
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)
    expect(page.locator(".code-editor-state")).to_have_text("Saved")


def accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not [(each["id"], each["nodes"][0]["html"]) for each in serious]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_learners_first_ten_minutes(learning: Site, page: Page, attention_source: str) -> None:
    """Open, lesson, wrong answer, hint, pass, swap; the chat runs on the learner's part."""
    page.goto(f"{learning.url}/labs")
    page.get_by_role("button", name="Make it").click()
    page.locator(".labs-part", has_text="attention").first.click()
    expect(page.get_by_role("heading", name="The idea")).to_be_visible()
    expect(page.locator(".prose math").first).to_be_visible()

    page.get_by_role("button", name="Start this part").click()
    expect(page.locator(".cm-content")).to_contain_text("def attention")
    file = learning.workspace / "parts" / "attention.py"
    wrong = attention_source.replace("/ D**0.5", "")
    assert wrong != attention_source
    write(page, wrong)
    assert file.read_text() == wrong

    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".checks .failed").first).to_contain_text("fused attention")
    expect(page.get_by_text("of 10 checks passed")).to_be_visible()
    expect(page.locator(".lab-head .chip.bad")).to_have_text("failing")
    page.get_by_role("button", name="Show a hint").first.click()
    page.get_by_role("tabpanel", name="Hints").get_by_role("button", name="Show a hint").click()
    expect(page.get_by_role("heading", name="Where to start")).to_be_visible()
    expect(page.get_by_role("heading", name="The mask")).to_have_count(0)  # one at a time

    write(page, attention_source)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("All 10 checks passed")).to_be_visible()
    expect(page.locator(".checks .passed")).to_have_count(10)
    page.get_by_role("button", name="Run the app on it").click()
    expect(page.locator(".lab-head .chip.yours")).to_be_visible()
    kinds = [event["event"] for event in events(learning) if event["event"] != "lesson"]
    assert kinds == ["init", "start", "check", "hint", "check", "swap"]

    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_text("1 of 10 yours")).to_be_visible()
    page.get_by_role("textbox", name="Message").fill("Hello")
    page.keyboard.press("Enter")
    answer = page.locator(".message.assistant .prose").last
    expect(answer).to_contain_text(re.compile(r"\w"), timeout=120_000)
    # A random model seldom ends by itself.
    page.get_by_role("button", name="Stop the answer").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_the_page_follows_the_file_and_the_file_the_page(
    learning: Site, learner: Workspace, page: Page
) -> None:
    file = learner.start(PARTS["rotary"])
    page.goto(f"{learning.url}/labs/rotary")
    expect(page.locator(".cm-content")).to_contain_text("rotary_table")
    file.write_text("# from another editor\n")
    expect(page.locator(".cm-content")).to_have_text("# from another editor")
    write(page, "# from the page\n")
    assert file.read_text() == "# from the page\n"
    learner.log("solution", part="rotary")  # as the command line does
    expect(page.locator(".lab-head")).to_contain_text("solution seen")
    page.keyboard.press("Escape")  # the keyboard is not caught in the editor
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('.cm-editor')")


@pytest.mark.parametrize("keep", ["Keep this page's text", "Take the file's text"])
def test_when_both_changed_both_are_kept_and_one_is_chosen(
    learning: Site, learner: Workspace, page: Page, keep: str
) -> None:
    file = learner.start(PARTS["swiglu"])
    page.goto(f"{learning.url}/labs/swiglu")
    write(page, "# before\n")
    mine, theirs = f"# mine, {keep}\n", f"# theirs, {keep}\n"
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(mine)
    file.write_text(theirs)  # before the page's pause is over
    alert = page.get_by_role("alert").filter(has_text="changed elsewhere while you wrote here")
    expect(alert).to_be_visible()
    assert file.read_text() == theirs
    assert mine in kept(learner)
    alert.get_by_role("button", name=keep).click()
    expect(alert).to_be_hidden()
    chosen, other = (mine, theirs) if keep.startswith("Keep") else (theirs, mine)
    expect(page.locator(".cm-content")).to_have_text(chosen.strip())
    assert file.read_text() == chosen
    assert other in kept(learner)
    write(page, "# after\n")  # and it goes on
    assert file.read_text() == "# after\n"


def kept(workspace: Workspace) -> set[str]:
    return {file.read_text() for file in (workspace.root / "backups").glob("*.py")}


def test_what_was_not_saved_comes_back_with_the_page(
    learning: Site, learner: Workspace, page: Page
) -> None:
    file = learner.start(PARTS["kv-cache"])
    page.goto(f"{learning.url}/labs/kv-cache")
    expect(page.locator(".cm-content")).to_contain_text("class KVCache")
    write(page, "# saved\n")
    version = sha256(file)
    # As it is when the server ended before it answered, and the page was loaded again.
    page.evaluate(
        "([text, base]) => sessionStorage.setItem('groundup.edit.kv_cache.py', "
        "JSON.stringify({text, base}))",
        ["# written last\n", version],
    )
    page.reload()
    expect(page.locator(".cm-content")).to_have_text("# written last")
    expect(page.locator(".code-editor-state")).to_have_text("Saved")
    assert file.read_text() == "# written last\n"


def test_reset_and_solution_ask_first(learning: Site, learner: Workspace, page: Page) -> None:
    file = learner.start(PARTS["rms-norm"])
    stub = file.read_text()
    page.goto(f"{learning.url}/labs/rms-norm")
    write(page, "# mine\n")
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Cancel").click()
    assert file.read_text() == "# mine\n"
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Begin anew").click()
    expect(page.locator(".cm-content")).to_contain_text("NotImplementedError")
    assert file.read_text() == stub
    assert "# mine\n" in kept(learner)
    page.get_by_role("button", name="Solution").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "solution" not in [e["event"] for e in events(learning) if e.get("part") == "rms-norm"]
    page.get_by_role("button", name="Solution").click()
    page.get_by_role("button", name="Show the solution").click()
    shown = page.get_by_role("tabpanel", name="Solution")
    expect(shown).to_contain_text("class RMSNorm")
    expect(page.locator(".lab-head")).to_contain_text("solution seen")


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (360, "light")])
def test_a_lab_is_accessible_and_fits(
    learning: Site, learner: Workspace, open_page: OpenPage, width: int, theme: str
) -> None:
    learner.start(PARTS["sampling"])
    page = open_page(width=width, height=800, theme=theme)
    page.goto(f"{learning.url}/labs/sampling")
    expect(page.locator(".cm-content")).to_be_visible()
    accessible(page)
    page.get_by_role("tab", name="Lesson").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Picture")).to_be_focused()
    page.get_by_role("textbox", name="Text").fill("Once upon a")
    page.keyboard.press("Enter")
    expect(page.get_by_text("200 of 49,152 tokens")).to_be_visible(timeout=120_000)
    page.get_by_role("slider", name="Top-k").fill("3")
    expect(page.get_by_text("3 of 49,152 tokens")).to_be_visible()
    accessible(page)


def test_a_plan_is_made_kept_and_exported(
    learning: Site, learner: Workspace, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{learning.url}/roadmap")
    page.get_by_label("First day").fill("2026-01-05")
    page.get_by_role("spinbutton", name="Mon to Fri").fill("2.5")
    page.get_by_role("spinbutton", name="Sat and Sun").fill("2.5")
    page.get_by_role("button", name="Save the plan").click()
    expect(page.get_by_text("2.5 hours on weekdays, 2.5 on weekends.")).to_be_visible()
    assert events(learning)[-1]["event"] == "schedule"
    page.get_by_role("button", name="Log ").first.click()
    expect(page.locator(".today .done")).to_have_count(1)
    assert events(learning)[-1]["event"] == "study"
    page.get_by_role("checkbox", name="project").first.check()
    expect(page.locator(".success")).to_contain_text("1 projects, goal 20")
    learner.log("task", task="week-1-project", done=False)  # as the command line does
    expect(page.locator(".success")).to_contain_text("0 projects, goal 20")
    with page.expect_download() as download:
        page.get_by_role("button", name="Calendar file").click()
    download.value.save_as(tmp_path / "plan.ics")
    found = icalendar.Calendar.from_ical((tmp_path / "plan.ics").read_bytes()).events
    assert len(found) > 300
    accessible(page)


def test_a_broken_workspace_says_what_is_wrong(learning: Site, learner: Workspace) -> None:
    """The pages show it, and nothing else breaks."""
    whole = learner.events_file.read_bytes()
    learner.events_file.write_bytes(whole + b"garbage\n")
    try:
        for path in ("/labs", "/labs/attention", "/roadmap"):
            shown = httpx.get(f"{learning.url}{path}")
            assert shown.status_code == 200
            assert "is damaged at line" in shown.text
    finally:
        learner.events_file.write_bytes(whole)


def test_a_part_that_is_not_there_says_so(learning: Site, page: Page) -> None:
    page.goto(f"{learning.url}/labs/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    expect(page.get_by_role("heading", name="No such part")).to_be_visible()
    expect(page.get_by_role("link", name="All parts")).to_be_visible()
