"""The app with accounts: signing in, expired sessions, what belongs to whom."""

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from groundup.app.passwords import hash_password
from groundup.app.preferences import Limits, read_limits
from groundup.app.store.database import default_url
from groundup.app.store.store import Store
from tests.app.browser.site import Site, start_site

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def shared_site(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: str
) -> Iterator[tuple[Site, Store]]:
    """One with two accounts, Ada's (an admin) and Bob's, and its data."""
    folder = tmp_path_factory.mktemp("shared")
    url = default_url(folder / "home" / "app")
    for name in ("ada", "bob"):
        subprocess.run(
            [sys.executable, "-m", "groundup", "users", "add", name, "--database", url],
            input=f"{PASSWORD}\n", text=True, check=True, timeout=60,
        )  # fmt: skip
    store = Store(url)
    with start_site(folder, tiny_model, "--sign-in") as site:
        yield site, store
    store.close()


def sign_in(page: Page, site: Site, name: str, path: str = "/") -> None:
    page.goto(f"{site.url}{path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_one_signs_in_and_comes_back_where_one_wanted(
    shared_site: tuple[Site, Store], page: Page
) -> None:
    site, _ = shared_site
    page.goto(f"{site.url}/chat?from=here")
    expect(page).to_have_title("Sign in · groundup")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("ada")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/chat?from=here")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_the_page_of_an_ended_session_shows_the_sign_in(
    shared_site: tuple[Site, Store], page: Page
) -> None:
    site, store = shared_site
    sign_in(page, site, "bob", "/chat")
    expect(page).to_have_url(f"{site.url}/chat")
    bob = next(u for u in store.accounts.all() if u.name == "bob")
    store.sessions.end_all(bob.id)  # as another process does
    expect(page).to_have_url(f"{site.url}/sign-in?next=/chat")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_sign_in_is_accessible_and_fits(
    shared_site: tuple[Site, Store], open_page: Callable[..., Page], width: int, theme: str
) -> None:
    page = open_page(width=width, theme=theme)
    page.goto(shared_site[0].url)
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.locator("html").get_attribute("data-theme") == theme
    found = Axe().run(page).response["violations"]
    assert not [(each["id"], each["nodes"][0]["html"]) for each in found]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_nothing_is_served_to_strangers(shared_site: tuple[Site, Store]) -> None:
    site, _ = shared_site
    page = httpx.get(f"{site.url}/sign-in").text
    for path in re.findall(r'(?:src|href)="(.*?)"', page):
        assert httpx.get(f"{site.url}{path}").status_code == 200
    for path in (
        "/chat", "/settings", "/data/export", "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
        "/_nicegui/3.18.0/static/nicegui.js",
    ):  # fmt: skip
        assert httpx.get(f"{site.url}{path}").status_code == 401
        assert httpx.get(f"{site.url}{path}", cookies={"groundup_session": "x"}).status_code == 401


def test_a_member_has_no_settings_of_admins(shared_site: tuple[Site, Store], page: Page) -> None:
    site, _ = shared_site
    sign_in(page, site, "bob", "/settings")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    for name in ("Sign-in", "Your data"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    for name in ("Endpoints", "Limits", "Accounts"):
        expect(page.get_by_role("heading", name=name)).to_have_count(0)


def test_members_see_neither_models_nor_logs(
    shared_site: tuple[Site, Store], open_page: Callable[..., Page]
) -> None:
    site, _ = shared_site
    for name, tabs in (
        ("ada", ["Figures", "Side by side", "Models", "Logs"]),
        ("bob", ["Figures", "Side by side"]),
    ):
        page = open_page()
        sign_in(page, site, name, "/operations/logs")
        expect(page.get_by_role("tab")).to_have_text(tabs)
        assert page.locator(".logs").count() == (name == "ada")
        assert page.locator(".model-form").count() == (name == "ada")


@pytest.mark.parametrize("path", ["/labs", "/labs/attention", "/roadmap"])
def test_the_workspace_is_shown_to_admins_alone(
    path: str, shared_site: tuple[Site, Store], page: Page
) -> None:
    """What is written into it runs on the machine of the one who runs the app."""
    site, _ = shared_site
    sign_in(page, site, "bob", path)
    expect(page.get_by_role("heading", name="Learning happens at home")).to_be_visible()
    assert page.locator(".cm-editor, .workspace-offer, .lab-panel").count() == 0


def test_one_who_is_no_admin_any_more_can_do_nothing_of_theirs(
    shared_site: tuple[Site, Store], page: Page
) -> None:
    site, store = shared_site
    store.accounts.set_role("bob", "admin")
    sign_in(page, site, "bob", "/settings")
    button = page.get_by_role("form", name="Limits").get_by_role("button", name="Save limits")
    expect(button).to_be_visible()
    store.accounts.set_role("bob", "member")
    page.get_by_label("Longest message").fill("200")
    button.click()
    expect(page.get_by_text("only admins may do this: ask one of them")).to_be_visible()
    assert read_limits(store) == Limits()


def test_sessions_are_seen_and_ended(
    shared_site: tuple[Site, Store], open_page: Callable[..., Page]
) -> None:
    site, store = shared_site
    ada = next(u for u in store.accounts.all() if u.name == "ada").id
    store.sessions.end_all(ada)
    here, there = open_page(), open_page()
    sign_in(there, site, "ada", "/chat")
    sign_in(here, site, "ada", "/settings")
    expect(here.get_by_text("This one")).to_be_visible()
    here.get_by_role("button", name=re.compile("End Chrome on Linux")).click()
    expect(there).to_have_url(f"{site.url}/sign-in?next=/chat")
    sign_in(there, site, "ada", "/chat")
    new = f"{PASSWORD} staple"
    form = here.get_by_role("form", name="Change password")
    for current, told in (
        ("wrong password", "the current password is wrong"),
        (PASSWORD, "is chan"),
    ):
        form.get_by_label("Current password").fill(current)
        form.get_by_label("New password").fill(new)
        form.get_by_role("button", name="Change password").click()
        expect(here.get_by_text(told)).to_be_visible()
    expect(there).to_have_url(f"{site.url}/sign-in?next=/chat")
    here.get_by_role("button", name="Sign out").click()
    expect(here).to_have_title("Sign in · groundup")
    here.go_back()
    here.reload()
    expect(here).to_have_title("Sign in · groundup")
    user = store.accounts.password_hash("ada")
    assert user is not None
    store.accounts.set_password_hash("ada", hash_password(PASSWORD))


def test_nobody_sees_what_is_anothers(
    shared_site: tuple[Site, Store], open_page: Callable[..., Page]
) -> None:
    site, store = shared_site
    ada = next(u for u in store.accounts.all() if u.name == "ada").id
    conversation = store.conversations.create(ada, title="Ada's secret")
    store.messages.add(ada, conversation.id, parent=None, role="user", content="hidden words")
    page = open_page()
    sign_in(page, site, "bob", f"/chat/{conversation.id}")
    expect(page.get_by_text("there is no such conversation")).to_be_visible()
    assert "hidden words" not in page.content()
    assert "Ada's secret" not in page.content()
    cookies = {c["name"]: c["value"] for c in page.context.cookies()}
    export = httpx.get(f"{site.url}/data/export", cookies=cookies)
    with zipfile.ZipFile(io.BytesIO(export.content)) as archive:
        assert b"hidden words" not in archive.read("conversations.jsonl")
