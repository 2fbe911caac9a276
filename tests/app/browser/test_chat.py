"""Chat, as one who uses it sees it. The model repeats what it is told (`echo_site`)."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from groundup.course.parts.table import PARTS
from groundup.course.progress import checks_sha256, sha256
from groundup.course.workspace import init_workspace
from tests.app.browser.site import Site, start_echo_site

ATTACK = (
    "<script>planted = 1</script><img src=x onerror='planted = 1'> "
    "[a](javascript:planted=1) ![b](javascript:planted=1) "
    r"$\text{<img src=x onerror=planted=1>}$ $\href{javascript:planted=1}{x}$"
    "\n```html\n</code><script>planted = 1</script>\n```\n"
)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with start_echo_site(tmp_path_factory.mktemp("echo")) as site:
        yield site


@pytest.fixture
def chat(echo: Site, page: Page) -> Page:
    """A page with a conversation that is not begun."""
    page.goto(f"{echo.url}/chat")
    expect(box(page)).to_be_focused()
    return page


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def messages(page: Page) -> Locator:
    return page.locator(".message")


def ask(page: Page, text: str) -> None:
    """Send a message, and wait until it is taken up."""
    box(page).fill(text)
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("")


def ask_and_wait(page: Page, text: str) -> None:
    """Send a message, and wait for the end of the answer."""
    ask(page, text)
    expect(page.locator(".message.assistant.complete").last).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def kept(site: Site) -> Store:
    return Store(default_url(site.home / "app"))


def test_a_conversation(chat: Page) -> None:
    ask_and_wait(
        chat,
        "# Attention is\n**all** you need: $x^2$\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "```python\ndef f(): pass\n```",
    )
    answer = messages(chat).nth(1)
    expect(answer.locator("h1")).to_have_text("Attention is")
    expect(answer.locator("strong")).to_have_text("all")
    expect(answer.locator("math msup")).to_be_visible()
    expect(answer.get_by_role("cell", name="2")).to_be_visible()
    expect(answer.locator(".hl-k").first).to_have_text("def")
    expect(answer).to_contain_text("tokens/s")
    expect(chat).to_have_url(re.compile("/chat/.{16}$"))
    expect(chat).to_have_title("Attention is · groundup")
    expect(chat.get_by_role("heading", level=1, name="Attention is").first).to_be_visible()
    listed = chat.get_by_role("navigation", name="Conversations")
    expect(listed.get_by_role("link", name="Attention is").first).to_be_visible()
    answer.get_by_role("button", name="Copy", exact=True).first.click()
    assert chat.evaluate("navigator.clipboard.readText()") == "def f(): pass\n"
    answer.get_by_role("button", name="Copy", exact=True).last.click()
    assert "# Attention is\n**all**" in chat.evaluate("navigator.clipboard.readText()")


def test_nothing_executes(echo: Site, chat: Page) -> None:
    chat.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    ask_and_wait(chat, ATTACK)
    expect(messages(chat).nth(1)).to_contain_text("<script>planted = 1</script>")
    store = kept(echo)
    user = store.accounts.local().id
    id = chat.url.rpartition("/")[2]
    store.conversations.rename(user, id, ATTACK)
    store.conversations.create_folder(user, ATTACK)
    store.conversations.configure(user, id, model=ATTACK, system=ATTACK, sampling={})
    store.close()
    chat.reload()
    chat.get_by_role("button", name="Options", exact=True).click()
    expect(chat.get_by_role("textbox", name="System prompt")).to_have_value(re.compile("planted"))
    chat.get_by_role("searchbox").fill("planted")
    expect(chat.locator(".chats-snippet, .chats-name").first).to_contain_text("<script>")
    assert chat.evaluate("window.planted") is None
    assert chat.locator(".chat script, .chat img, .chat [href^=javascript]").count() == 0


@pytest.mark.parametrize("path", ["<script>planted=1</script>", "..%2f.."])
def test_addresses_of_nothing(echo: Site, page: Page, path: str) -> None:
    page.goto(f"{echo.url}/chat/{path}")
    expect(page.locator(".toast")).to_contain_text("no such conversation")
    expect(box(page)).to_be_visible()
    assert page.evaluate("window.planted") is None


def test_a_reload_in_mid_answer(chat: Page) -> None:
    ask(chat, "!slow 0.05\n" + "word " * 60)
    expect(messages(chat).nth(1)).to_contain_text("word word")
    chat.reload()
    expect(messages(chat).nth(1)).to_contain_text("word word")
    expect(chat.get_by_role("button", name="Stop the answer")).to_be_visible()
    expect(messages(chat).nth(1)).to_have_class(re.compile("complete"))
    assert messages(chat).nth(1).locator(".message-text").inner_text().split() == ["word"] * 60


def test_two_tabs_show_the_same(chat: Page) -> None:
    ask_and_wait(chat, "one")
    other = chat.context.new_page()
    other.goto(chat.url)
    expect(messages(other)).to_have_count(2)
    ask(chat, "!slow 0.05\n" + "word " * 40)
    expect(messages(other).nth(3)).to_contain_text("word word")
    expect(messages(other).nth(3)).to_have_class(re.compile("streaming"))
    other.get_by_role("button", name="Stop the answer").click()
    for page in (chat, other):
        expect(messages(page).nth(3)).to_contain_text("stopped")
    texts = [messages(page).nth(3).locator(".message-text").inner_text() for page in (chat, other)]
    assert texts[0] == texts[1]
    assert texts[0].startswith("word")


def test_branches(chat: Page) -> None:
    ask_and_wait(chat, "first")
    messages(chat).nth(0).get_by_role("button", name="Edit").click()
    editor = chat.get_by_role("textbox", name="Edit your message")
    editor.fill("second")
    editor.press("Enter")
    expect(messages(chat).nth(1)).to_contain_text("second")
    expect(messages(chat).nth(0)).to_contain_text("2/2")
    messages(chat).nth(1).get_by_role("button", name="Regenerate").click()
    expect(messages(chat).nth(1)).to_contain_text("2/2")
    expect(messages(chat).nth(1)).to_have_class(re.compile("complete"))
    chat.keyboard.press("Alt+,")
    expect(messages(chat).nth(1)).to_contain_text("1/2")
    messages(chat).nth(0).get_by_role("button", name="Previous version").click()
    expect(messages(chat).nth(1)).to_contain_text("first")
    chat.reload()
    expect(messages(chat).nth(0)).to_contain_text("1/2")


def test_ratings_become_preference_data(chat: Page, tmp_path: Path) -> None:
    ask_and_wait(chat, "rate me")
    answer = messages(chat).nth(1)
    answer.get_by_role("button", name="Bad answer").click()
    expect(answer.get_by_role("button", name="Bad answer")).to_have_attribute(
        "aria-pressed", "true"
    )
    answer.get_by_role("button", name="Regenerate").click()
    expect(answer).to_contain_text("2/2")
    expect(answer).to_have_class(re.compile("complete"))
    answer.get_by_role("button", name="Good answer").click()
    expect(answer.get_by_role("button", name="Good answer")).to_have_attribute(
        "aria-pressed", "true"
    )
    chat.get_by_role("button", name="Options", exact=True).click()
    expect(chat.get_by_text("2 answers rated")).to_be_visible()
    with chat.expect_download() as download:
        chat.get_by_role("button", name="Export as JSONL").click()
    assert download.value.suggested_filename == "preferences.jsonl"
    pairs = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert {
        "prompt": [{"role": "user", "content": "rate me"}],
        "chosen": [{"role": "assistant", "content": "rate me"}],
        "rejected": [{"role": "assistant", "content": "rate me"}],
    } in pairs


def test_conversations_are_named_filed_found_and_deleted(chat: Page) -> None:
    ask_and_wait(chat, "a needle in a haystack")
    listed = chat.get_by_role("navigation", name="Conversations")

    def menu(name: str, item: str) -> None:
        listed.get_by_role("button", name=f"{name}: more").first.click()
        chat.get_by_role("menuitem", name=item).click()

    menu("A needle in a haystack", "Rename")
    chat.get_by_role("textbox", name="Title").fill("Sewing")
    chat.keyboard.press("Enter")
    expect(chat.get_by_role("heading", level=1, name="Sewing")).to_be_visible()
    chat.get_by_role("button", name="New folder").click()
    chat.get_by_role("textbox", name="Name").fill("Crafts")
    chat.get_by_role("button", name="Create").click()
    menu("Sewing", "Move to Crafts")
    expect(listed.get_by_role("region", name="Crafts").get_by_role("link")).to_have_text("Sewing")
    chat.get_by_role("searchbox").fill("NEEDLE")
    expect(listed.locator(".chats-snippet").first).to_contain_text("a needle in a haystack")
    chat.get_by_role("searchbox").fill("")
    with chat.expect_download() as download:
        menu("Sewing", "Export as Markdown")
    assert download.value.suggested_filename == "sewing.md"
    assert "## You\n\na needle" in Path(download.value.path()).read_text()
    with chat.expect_download() as download:
        menu("Sewing", "Export as JSON")
    whole = json.loads(Path(download.value.path()).read_text())
    assert [message["role"] for message in whole["messages"]] == ["user", "assistant"]
    other = chat.context.new_page()
    other.goto(chat.url)
    expect(messages(other)).to_have_count(2)
    menu("Sewing", "Delete")
    chat.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for page in (chat, other):
        expect(page).to_have_url(re.compile("/chat$"))
        expect(page.get_by_role("link", name="Sewing")).to_have_count(0)


def test_options_reach_the_model(chat: Page) -> None:
    chat.get_by_role("button", name="Options", exact=True).click()
    chat.get_by_role("textbox", name="System prompt").fill("Be kind.")
    chat.get_by_label("Temperature", exact=True).fill("0.25")
    chat.get_by_label("Seed").fill("7")
    chat.get_by_label("Seed").press("Tab")
    ask_and_wait(chat, "!request")
    said = messages(chat).nth(1).locator("code").inner_text()
    request = json.loads(said)
    assert (request["temperature"], request["seed"]) == (0.25, 7)
    assert request["messages"][0] == {"role": "system", "content": "Be kind."}
    assert "top_p" not in request
    chat.get_by_label("Temperature", exact=True).fill("9")
    chat.get_by_label("Temperature", exact=True).press("Tab")
    expect(chat.get_by_role("alert")).to_contain_text("from 0 to 2, got 9")


def test_the_keyboard_alone(chat: Page) -> None:
    keys = chat.keyboard
    keys.type("first")
    keys.press("Shift+Enter")
    keys.type("line")
    keys.press("Enter")
    expect(messages(chat).nth(1)).to_contain_text("first line")
    keys.press("ArrowUp")  # from the empty box: edit the last message
    expect(chat.get_by_role("textbox", name="Edit your message")).to_be_focused()
    keys.press("Escape")
    expect(messages(chat).nth(0)).to_be_focused()
    keys.press("j")
    expect(messages(chat).nth(1)).to_be_focused()
    keys.press("/")
    expect(box(chat)).to_be_focused()
    keys.press("Alt+r")
    expect(messages(chat).nth(1)).to_contain_text("2/2")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    keys.insert_text("!slow 0.1\n" + "word " * 50)
    keys.press("Enter")
    expect(messages(chat).nth(3)).to_contain_text("word")
    keys.press("Escape")
    expect(messages(chat).nth(3)).to_contain_text("stopped")
    keys.press("Alt+k")
    expect(chat.get_by_role("searchbox")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("?")
    expect(chat.get_by_role("dialog", name="Keyboard")).to_be_visible()
    keys.press("Escape")
    expect(chat.get_by_role("dialog", name="Keyboard")).to_be_hidden()
    keys.press("Alt+n")
    expect(chat).to_have_url(re.compile("/chat$"))
    expect(box(chat)).to_be_focused()
    chat.go_back()
    expect(messages(chat)).to_have_count(4)


def test_what_is_too_long_stays_in_the_box(chat: Page) -> None:
    text = "x" * 50_001
    box(chat).fill(text)
    chat.keyboard.press("Enter")
    expect(chat.get_by_role("alert")).to_contain_text("50,001 characters long")
    expect(box(chat)).to_have_value(text)
    expect(messages(chat)).to_have_count(0)


def test_what_is_written_but_not_sent_outlives_a_reload(chat: Page) -> None:
    box(chat).fill("half a thought")
    chat.reload()
    expect(box(chat)).to_have_value("half a thought")


def test_an_answer_that_breaks_off(chat: Page) -> None:
    ask(chat, "!die 2\nthis much and no more")
    answer = messages(chat).nth(1)
    expect(answer.get_by_role("alert")).to_contain_text("the answer broke off")
    expect(answer).to_contain_text("this much")
    answer.get_by_role("button", name="Try again").click()
    expect(answer).to_contain_text("2/2")
    ask(chat, "!fail the queue is full")
    expect(messages(chat).nth(3).get_by_role("alert")).to_contain_text("the queue is full")


def test_the_engine_is_killed_in_mid_answer(site: Site, page: Page) -> None:
    init_workspace(site.workspace)
    page.goto(f"{site.url}/chat")
    ask(page, "Tell me a long story.")
    answer = messages(page).nth(1)
    expect(answer.locator(".message-text div")).not_to_have_count(0, timeout=90_000)
    [engine] = psutil.Process(site.process.pid).children()
    engine.kill()
    expect(answer.get_by_role("alert")).to_contain_text("broke off")
    page.reload()
    expect(messages(page)).to_have_count(2)
    answer.get_by_role("button", name="Try again").click()
    expect(answer).to_contain_text("2/2")
    expect(answer.locator(".message-text div")).not_to_have_count(0, timeout=90_000)
    page.get_by_role("button", name="Stop the answer").click()
    expect(answer).to_contain_text("stopped")


def test_the_learners_own_parts_are_named(echo: Site, page: Page, attention_source: str) -> None:
    workspace, part = init_workspace(echo.workspace), PARTS["attention"]
    file = workspace.file(part)
    file.write_text(attention_source)
    record = {"sha256": sha256(file), "checks_sha256": checks_sha256(part)}
    workspace.log("check", part=part.id, **record, passed=True, failed=[])
    workspace.log("swap", part=part.id)
    page.goto(f"{echo.url}/chat")
    page.get_by_text("1 of 10 yours").click()
    rows = page.locator(".path-card li")
    expect(rows.filter(has_text="attention")).to_contain_text("yours")
    expect(rows.filter(has_text="rotary")).to_contain_text("reference")
    expect(rows.get_by_role("link", name="attention")).to_have_attribute("href", "/labs/attention")
    file.write_text("changed")
    page.reload()
    page.get_by_text("0 of 10 yours").click()
    expect(page.locator(".path-card")).to_contain_text("has changed and not passed since")


def test_ten_thousand_messages(echo: Site, page: Page) -> None:
    store = kept(echo)
    user = store.accounts.local().id
    id = long_conversation(store, user, 10_000)
    store.close()
    page.goto(f"{echo.url}/chat/{id}")
    expect(messages(page).last).to_contain_text("Message 9999.")
    assert messages(page).count() < 60
    scroller = page.get_by_role("region", name="Messages")
    for where, first in ((0, "Message 0."), (0.5, None), (1, "Message 9999.")):
        scroller.evaluate("(e, w) => { e.scrollTop = w * e.scrollHeight }", where)
        if first:
            expect(messages(page).filter(has_text=first)).to_be_in_viewport()
        expect(page.locator(".message-loading")).to_have_count(0)
        assert 0 < messages(page).count() < 60
    ask_and_wait(page, "one more")
    expect(messages(page).last).to_be_in_viewport()
    expect(messages(page).last).to_have_attribute("aria-setsize", "10002")


def long_conversation(store: Store, user: str, count: int) -> str:
    """Writes so many messages at once, which no user does; returns the conversation's id."""
    from groundup.app.store import tables

    conversation = store.conversations.create(user, title="Long", model="echo/echo")
    rows: list[dict[str, Any]] = [
        {
            "id": f"{conversation.id}-{i}",
            "conversation_id": conversation.id,
            "parent_id": f"{conversation.id}-{i - 1}" if i else None,
            "role": "assistant" if i % 2 else "user",
            "content": f"Message {i}. " + "Some words, *more* or fewer. " * (i * 7919 % 23),
            "state": "complete",
            "error": "",
            "model": "echo" if i % 2 else "",
            "parts": [],
            "created": float(i),
        }
        for i in range(count)
    ]
    with store._database.writing() as connection:
        connection.execute(tables.messages.insert(), rows)
    store.messages.set_head(user, conversation.id, rows[-1]["id"])
    return conversation.id


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_a_conversation_is_accessible_and_fits(
    echo: Site, open_page: Callable[..., Page], width: int, theme: str
) -> None:
    page = open_page(width=width, height=844, theme=theme)
    page.goto(f"{echo.url}/chat")
    ask_and_wait(
        page,
        "# Wide\n" + "x" * 300 + "\n\n| " + "wide cell | " * 12 + "\n|" + "---|" * 12 + "\n\n"
        "```python\n" + "y = 1 # comment " * 12 + "\n```\n\n$$" + "a + " * 60 + "b$$",
    )
    page.get_by_role("button", name="Options", exact=True).click()
    expect(page.get_by_role("textbox", name="System prompt")).to_be_visible()
    assert serious_violations(page) == []
    page.get_by_role("button", name="Close the options").click()
    if width < 720:
        page.get_by_role("button", name="Conversations").click()
        expect(page.get_by_role("link", name="New chat")).to_be_in_viewport()
    page.get_by_role("button", name="Wide: more").first.click()
    assert serious_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def serious_violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds: the rule, and the first element that breaks it."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], each["nodes"][0]["html"]) for each in serious]
