"""The app with accounts: signing in, expired sessions, what belongs to whom."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

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
        "/chat", "/settings", "/settings/export", "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
        "/_nicegui/3.18.0/static/nicegui.js",
    ):  # fmt: skip
        assert httpx.get(f"{site.url}{path}").status_code == 401
        assert httpx.get(f"{site.url}{path}", cookies={"groundup_session": "x"}).status_code == 401
