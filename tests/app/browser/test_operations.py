"""Figures, models, two side by side, logs: as one who runs the app sees them."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.app.browser.site import Site

LOADING = 120_000  # milliseconds for a model: machines may be busy


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def test_two_models_on_one_prompt_and_their_figures(model_site: Site, page: Page) -> None:
    page.goto(f"{model_site.url}/operations/compare")
    page.get_by_label("Model A").select_option(label="tiny")
    page.get_by_label("Model B").select_option(label="tiny")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".toast.bad")).to_contain_text("the message is empty")
    page.get_by_label("One prompt for both").fill("Name three colours.")
    page.get_by_label("Longest answer").fill("30")
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator("#compare-temperature:invalid")).to_be_focused()
    page.get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Ask both").click()
    sides = page.locator(".side")
    for side in (sides.nth(0), sides.nth(1)):
        told = re.compile(r"ms to the first token · [\d.]+ tokens/s · 30 tok")
        expect(side).to_contain_text(told, timeout=LOADING)
    first, second = (sides.nth(i).locator(".prose").text_content() for i in range(2))
    assert first
    assert second
    expect(page.get_by_label("Longest answer")).to_have_value("30")
    expect(page.get_by_role("button", name="Ask both")).to_be_visible()

    tab(page, "Figures")
    expect(page).to_have_url(f"{model_site.url}/operations/figures")
    tokens = page.get_by_role("img", name=re.compile("^Generated tokens over the last"))
    expect(tokens).to_be_visible()
    first_token = page.get_by_role("img", name=re.compile(r"first token .* now p50 \d"))
    expect(first_token).to_be_visible()
    kv = page.get_by_role("img", name=re.compile("^KV cache in use"))
    expect(kv).to_be_visible()


def test_models(model_site: Site, page: Page, tmp_path: Path, tiny_model: str) -> None:
    page.goto(f"{model_site.url}/operations/models")
    running = page.locator("article.model", has_text="default")
    expect(running).to_contain_text("in memory")
    add = page.get_by_label("Add a model")
    for wrong, words in (("nothing", "can be fetched neither"), ("/etc/hosts", "no model at")):
        add.fill(wrong)
        page.get_by_role("button", name="Add").click()
        expect(page.locator(".toast.bad").last).to_contain_text(words)
    own = tmp_path / "<b>own.gguf"
    own.symlink_to(tiny_model)
    add.fill(str(own))
    page.get_by_role("button", name="Add").click()
    entry = page.locator("article.model", has_text="<b>own")
    expect(entry.get_by_role("heading")).to_have_text("<b>own")
    entry.get_by_role("button", name="Run").click()
    expect(entry.locator(".chip")).to_have_text(re.compile("starting|ready"))
    entry.get_by_role("button", name="Stop").click()
    expect(entry.get_by_role("button", name="Run")).to_be_visible()
    entry.get_by_role("button", name="Take out").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your files stay")
    dialog.get_by_role("button", name="Cancel").click()
    expect(entry).to_be_visible()
    entry.get_by_role("button", name="Take out").click()
    dialog.get_by_role("button", name="Take out").click()
    expect(entry).to_have_count(0)
    assert own.exists()


def test_logs(model_site: Site, page: Page) -> None:
    page.goto(f"{model_site.url}/operations/logs")
    log = page.locator(".logs-text")
    expect(log).to_contain_text("on http://127.0.0.1")
    page.get_by_label("Filter").fill("HTTP://127")
    expect(page.locator(".logs-head [role=status]")).to_have_text(re.compile(r"1 of \d+ lines?"))
    page.get_by_role("button", name="Copy").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"on http://127\.0\.0\.1:\d+/v1", copied)
    page.get_by_label("Filter").fill("nothing like it")
    expect(page.locator(".logs")).to_contain_text("No line has this in it.")
