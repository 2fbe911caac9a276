"""A look into a model that runs, as one who uses it sees it."""

import re

from playwright.sync_api import Locator, Page, expect

from groundup.app.endpoints import Endpoints, Remote
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from tests.app.browser.site import Site

LOADING = 120_000  # milliseconds for a model: machines may be busy
QUESTION = "What does attention do?"


def ask(page: Page, site: Site, text: str, longest: int = 40) -> None:
    """Ask something in the chat, and wait until the answer begins."""
    page.goto(f"{site.url}/chat")
    page.get_by_role("button", name="Options", exact=True).click()
    field = page.get_by_label("Longest answer")
    field.fill(str(longest))
    field.press("Tab")
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message.assistant")).to_be_visible()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def tokens(page: Page) -> Locator:
    return page.locator("#panel-tokens .tokens-text .token")


def test_an_answer_while_it_is_written_and_after(model_site: Site, page: Page) -> None:
    page.goto(f"{model_site.url}/inside")
    expect(page.get_by_role("status").first).to_be_attached()
    chat = page.context.new_page()
    ask(chat, model_site, QUESTION)
    expect(tokens(page).first).to_be_visible(timeout=LOADING)
    expect(chat.locator(".message.assistant.complete")).to_be_visible()
    expect(page.locator(".tokens-caret")).to_have_count(0)
    expect(page.locator(".inside > .banner")).to_be_hidden(timeout=LOADING)  # it was read
    assert tokens(page).count() >= 40
    tokens(page).nth(3).click()
    expect(tokens(page).nth(3)).to_have_attribute("aria-pressed", "true")
    side = page.locator(".tokens-side")
    expect(side.get_by_role("row")).to_have_count(8)
    expect(side).to_contain_text(re.compile(r"% likely, (the likeliest|number|not among)"))
    page.keyboard.press("ArrowRight")
    expect(tokens(page).nth(4)).to_be_focused()
    page.keyboard.press("Escape")
    expect(side).to_contain_text("Perplexity")

    tab(page, "Attention")
    expect(page).to_have_url(f"{model_site.url}/inside/attention")
    expect(page.get_by_role("img", name="Attention map of layer 1, head 1")).to_be_visible()
    row = page.locator(".attention-row")
    expect(row.locator("p")).to_contain_text("%")
    page.get_by_role("button", name="Layer 1, head 1:").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("img", name="Attention map of layer 1, head 2")).to_be_visible()
    expect(page.get_by_role("button", name="Layer 1, head 2:")).to_be_focused()
    row.locator(".token").nth(2).click()
    expect(row.locator(".token").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(row.locator(".token.later").first).to_be_visible()
    expect(row.locator("p")).to_contain_text("%")
    page.locator(".map").hover(position={"x": 2, "y": 2})
    expect(page.locator(".attention-hover")).to_contain_text("→")


def test_a_text_of_ones_own(model_site: Site, page: Page) -> None:
    page.goto(f"{model_site.url}/inside")
    page.get_by_label("Look into").select_option("own")
    text = "The cat <b>sat</b> down."
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Read it").click()
    expect(page.locator("#panel-tokens .tokens-text")).to_have_text(text, timeout=LOADING)
    assert page.locator("#panel-tokens b").count() == 0
    page.get_by_label("Your text").fill("")
    page.get_by_role("button", name="Read it").click()
    expect(page.locator(".inside > .banner")).to_contain_text("there is nothing to read")


def test_the_engine(model_site: Site, page: Page) -> None:
    chat = page.context.new_page()
    ask(chat, model_site, "Again. " * 60 + QUESTION)
    page.goto(f"{model_site.url}/inside/engine")
    timeline = page.get_by_role("img", name="The last")
    expect(timeline).to_be_visible(timeout=LOADING)
    expect(timeline).to_have_attribute("aria-label", re.compile("tokens of prompts and [1-9]"))
    blocks = page.get_by_role("img", name=re.compile("1024 blocks: "))
    expect(blocks).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("of 1024")
    chat.get_by_role("textbox", name="Message").fill("And again?")
    chat.keyboard.press("Enter")
    # The same beginning was read before.
    expect(page.locator(".mark-found").first).to_be_attached()
    expect(page.locator(".facts")).to_contain_text(re.compile(r"[1-9]\d* of \d+ tokens"))


def test_an_answer_from_elsewhere(model_site: Site, page: Page) -> None:
    folder = model_site.home / "app"
    Endpoints(folder).put(Remote("far", "https://far.example/v1", models=("big",)))
    store = Store(default_url(folder))
    user = store.accounts.local().id
    made = store.conversations.create(user, title="Far", model="far/big", system="", sampling={})
    add = store.messages.add
    asked = add(user, made.id, parent=None, role="user", content="Hi")
    answer = add(user, made.id, parent=asked.id, role="assistant", content="Yes.", model="far/big")
    store.close()
    page.goto(f"{model_site.url}/inside")
    page.get_by_label("Look into").select_option(answer.id)
    expect(page.locator(".inside > .banner")).to_contain_text("big answers elsewhere")
    expect(tokens(page)).to_have_count(0)
