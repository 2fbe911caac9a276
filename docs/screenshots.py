"""The pictures of the README: each page of the app, as it is now. ``make screenshots``

A home and a workspace of its own, the packaged model, Debian's chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from groundup.models.fetch import DEFAULT_MODEL
from tests.app.browser.site import Site, start_site
from tests.conftest import ATTENTION

FOLDER = Path(__file__).parent / "screenshots"
PATIENCE = 240_000  # milliseconds
QUESTION = "Write a Python function that checks whether a word is a palindrome."


def main() -> None:
    """Take all of them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("the pictures need chromium: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with (
        tempfile.TemporaryDirectory() as folder,
        start_site(Path(folder), DEFAULT_MODEL) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": 1280, "height": 800}, color_scheme=theme, reduced_motion="reduce"
            )
            page.set_default_timeout(PATIENCE)
            take(page, site, "" if theme == "light" else "-dark")
            page.close()
        browser.close()


def take(page: Page, site: Site, suffix: str) -> None:
    """Every page once: a part is built first, so that the chat runs on it."""

    def shot(name: str) -> None:
        page.screenshot(path=FOLDER / f"{name}{suffix}.png")

    page.goto(f"{site.url}/labs")
    if not suffix:
        page.get_by_role("button", name="Make it").click()
        expect(page.locator(".labs-part").first).to_be_visible()
    page.goto(f"{site.url}/labs/attention")
    if not suffix:
        page.get_by_role("button", name="Start this part").click()
        page.locator(".cm-content").click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(ATTENTION)
        expect(page.locator(".code-editor-state")).to_have_text("Saved")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("All 10 checks passed")).to_be_visible()
    shot("labs")
    if not suffix:
        page.get_by_role("button", name="Run the app on it").click()
        expect(page.locator(".lab-head .chip.yours")).to_be_visible()

    page.goto(f"{site.url}/chat")
    page.get_by_role("textbox", name="Message").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".message.assistant").last).to_be_visible()
    expect(page.locator(".message.assistant.streaming")).to_have_count(0)
    shot("chat")

    for name in ("roadmap", "inside", "operations", "settings"):
        page.goto(f"{site.url}/{name}")
        page.wait_for_timeout(4000)  # what is measured needs a moment to be
        shot(name)


if __name__ == "__main__":
    main()
