"""The settings: what each control does, for a user alone, for a member and for an admin."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from groundup.app.endpoints import Endpoints
from groundup.app.preferences import preferred_model, read_limits
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from tests.app.browser.site import Site, start_site

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def own_site(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: str
) -> Iterator[tuple[Site, Store]]:
    """A site of these tests alone, without sign-in, and its data."""
    folder = tmp_path_factory.mktemp("settings")
    with start_site(folder, tiny_model) as site:
        store = Store(default_url(site.home / "app"))
        yield site, store
        store.close()


def open_settings(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/settings")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    page.wait_for_function("window.socket && window.socket.connected")


def said(page: Page, text: str | re.Pattern[str]) -> None:
    """The page says it, once."""
    toast = page.get_by_role("status").get_by_text(text)
    expect(toast).to_be_visible()
    toast.click()  # goes away


def test_the_default_model_is_what_a_new_chat_has(own_site: tuple[Site, Store], page: Page) -> None:
    site, store = own_site
    local = store.accounts.local().id
    open_settings(page, site)
    page.get_by_label("Default model").select_option("smollm2-135m-instruct")
    said(page, "Saved")
    assert preferred_model(store, local) == "smollm2-135m-instruct"
    page.goto(f"{site.url}/chat")
    expect(page.get_by_label("Model", exact=True)).to_have_value("smollm2-135m-instruct")
    open_settings(page, site)
    expect(page.get_by_label("Default model")).to_have_value("smollm2-135m-instruct")
    page.get_by_label("Default model").select_option(index=0)
    said(page, "Saved")
    assert preferred_model(store, local) is None


def test_the_theme_is_chosen_by_keyboard(own_site: tuple[Site, Store], page: Page) -> None:
    site, _ = own_site
    open_settings(page, site)
    system = page.get_by_role("radio", name="System")
    expect(system).to_be_checked()
    system.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    page.get_by_role("radio", name="System").check(force=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_limits_are_set_and_hold(own_site: tuple[Site, Store], page: Page) -> None:
    site, store = own_site
    open_settings(page, site)
    form = page.get_by_role("form", name="Limits")
    form.get_by_label("Longest message").fill("100")
    form.get_by_role("button", name="Save limits").click()
    said(page, "Saved")
    assert read_limits(store).message_characters == 100
    form.get_by_label("Answers at a time").fill("1000000")
    form.get_by_role("button", name="Save limits").click()
    expect(form.get_by_role("alert")).to_contain_text("these are no limits")
    assert read_limits(store).running_answers == 64
    form.get_by_label("Answers at a time").fill("64")
    form.get_by_label("Longest message").fill("50000")
    form.get_by_role("button", name="Save limits").click()
    said(page, "Saved")


def test_endpoints_come_and_go_and_keep_their_keys(
    own_site: tuple[Site, Store], page: Page
) -> None:
    site, _ = own_site
    key = "sk-0123456789-not-to-be-seen-wxyz"
    open_settings(page, site)
    page.get_by_role("button", name="Add endpoint").click()
    dialog = page.get_by_role("dialog", name="Endpoint")
    dialog.get_by_label("Name").fill("nowhere")
    dialog.get_by_label("URL").fill("http://127.0.0.1:9/v1")
    dialog.get_by_label("Key").fill(key)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("127.0.0.1:9/v1 does not answer")
    expect(dialog.get_by_label("Name")).to_have_value("nowhere")  # what was typed is there
    dialog.get_by_label("Models").fill("big\n org/small ")
    dialog.get_by_role("button", name="Save").click()
    said(page, "Saved, with 2 models")
    expect(dialog).to_be_hidden()
    row = page.get_by_role("row", name="nowhere")
    expect(row).to_contain_text("…wxyz")
    file = site.home / "app" / "endpoints.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert Endpoints(site.home / "app").all()[0].key == key
    page.reload()
    expect(page.get_by_role("row", name="nowhere")).to_be_visible()
    assert key not in page.content()
    page.goto(f"{site.url}/chat")
    names = (
        page.get_by_label("Model", exact=True)
        .locator("option")
        .evaluate_all("options => options.map(option => option.value)")
    )
    assert {"nowhere/big", "nowhere/org/small"} <= set(names)
    assert key not in page.content()
    open_settings(page, site)
    page.get_by_role("button", name="Remove nowhere").click()
    said(page, "Removed, with its key")
    assert "wxyz" not in file.read_text()


def test_export_delete_import(own_site: tuple[Site, Store], page: Page, tmp_path: Path) -> None:
    site, store = own_site
    local = store.accounts.local().id
    conversation = store.conversations.create(local, title="Kept <b>title</b>")
    store.messages.add(local, conversation.id, parent=None, role="user", content="kept words")
    before = store.conversations.all(local)
    open_settings(page, site)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    assert re.fullmatch(r"groundup-local-\d{4}-\d\d-\d\d\.zip", download.value.suggested_filename)
    archive = tmp_path / "export.zip"
    download.value.save_as(archive)
    page.get_by_role("button", name="Delete all").click()
    dialog = page.get_by_role("dialog", name="Delete all your data?")
    dialog.get_by_label("Type local to go on").fill("locale")
    dialog.get_by_role("button", name="Delete all").click()
    expect(dialog.get_by_role("alert")).to_contain_text("nothing was deleted")
    assert store.conversations.all(local) == before
    dialog.get_by_label("Type local to go on").fill("local")
    dialog.get_by_role("button", name="Delete all").click()
    said(page, "Everything is deleted")
    expect(dialog).to_be_hidden()
    assert not store.conversations.all(local)
    page.get_by_label("Import").set_input_files(archive)
    said(page, f"Imported {len(before)} conversations")
    assert store.conversations.all(local) == before
    [message] = store.messages.path(local, conversation.id)
    assert message.content == "kept words"
    page.get_by_label("Import").set_input_files(archive)
    said(page, f"Imported 0 conversations; {len(before)} were here already")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no zip")
    page.get_by_label("Import").set_input_files(bad)
    said(page, re.compile("this is not an archive of groundup"))


def test_accounts_can_be_made_without_sign_in(own_site: tuple[Site, Store], page: Page) -> None:
    """As one does before others may reach the app."""
    site, store = own_site
    open_settings(page, site)
    expect(page.get_by_role("heading", name="Sign-in")).to_have_count(0)
    for name, role in (("eve", "admin"), ("dan", "member")):
        page.get_by_role("button", name="Add account").click()
        dialog = page.get_by_role("dialog", name="New account")
        expect(dialog.get_by_label("Name")).to_have_value("")
        dialog.get_by_label("Name").fill(name)
        dialog.get_by_label("Password").fill("short")
        dialog.get_by_label("Role").select_option(role)
        dialog.get_by_role("button", name="Make account").click()
        expect(dialog.get_by_role("alert")).to_contain_text("a password has 10 to 1000 characters")
        dialog.get_by_label("Password").fill(PASSWORD)
        dialog.get_by_role("button", name="Make account").click()
        said(page, f"{name} can sign in")
    page.get_by_label("Role of eve").select_option("member")
    said(page, re.compile("eve is the only admin"))
    expect(page.get_by_label("Role of eve")).to_have_value("admin")
    page.get_by_label("Role of dan").select_option("admin")
    said(page, "dan is admin now")
    page.get_by_role("button", name="Remove eve").click()
    dialog = page.get_by_role("dialog", name="Remove account?")
    dialog.get_by_label("Type eve to go on").fill("eve")
    dialog.get_by_role("button", name="Remove").click()
    said(page, "eve is removed")
    assert [(a.name, a.role) for a in store.accounts.all()] == [("dan", "admin")]
    store.accounts.remove("dan")
