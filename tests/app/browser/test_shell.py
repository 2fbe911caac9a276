"""The frame of all pages: where one goes, how it looks, what it asks for."""

from collections.abc import Callable

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.app.browser.site import Site


def test_the_first_page_is_the_chat(site: Site, page: Page) -> None:
    page.goto(site.url)
    expect(page).to_have_url(f"{site.url}/chat")
    expect(page).to_have_title("Chat · groundup")
    current = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Chat")
    expect(current).to_have_attribute("aria-current", "page")


def test_the_theme_is_the_systems_until_chosen(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(theme="dark")
    root = page.locator("html")
    page.goto(site.url)
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light theme").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_the_keyboard_reaches_the_page_at_once(site: Site, page: Page) -> None:
    page.goto(site.url)
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.locator("body").evaluate("(body) => { body.tabIndex = -1; body.focus(); }")  # its top
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.wait_for_timeout(500)  # nor does the server think that another conversation is wanted
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(
    site: Site, open_page: Callable[..., Page], width: int, theme: str
) -> None:
    page = open_page(width=width, height=800, theme=theme)
    page.goto(site.url)
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    paths = [link.get_attribute("href") for link in links.all()]
    for path in paths:
        page.goto(f"{site.url}{path}")
        expect(page.locator("main :is(h1, h2):visible").first).to_be_visible()
        found = Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not [(path, each["id"], each["nodes"][0]["html"]) for each in serious]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_foreign_name_or_origin_gets_nothing(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    rebound = httpx.get(site.url, headers={"Host": f"evil.example:{port}"})
    assert rebound.status_code == 421
    for url in (site.url, f"{site.url}/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        forged = httpx.get(url, headers={"Origin": "https://evil.example"})
        assert forged.status_code == 403
    assert httpx.get(f"{site.url}/chat", headers={"Origin": site.url}).status_code == 200


def test_only_our_own_scripts_run(site: Site, browser: Browser) -> None:
    """One that somebody got into the page does not."""
    page = browser.new_page()
    page.goto(site.url)
    ran = page.evaluate(
        """() => new Promise((done) => {
            addEventListener("securitypolicyviolation", () => done(window.planted ?? "refused"));
            const script = document.createElement("script");
            script.textContent = "window.planted = true";
            document.body.append(script);
            setTimeout(() => done(window.planted ?? "nothing"), 5000);
        })"""
    )
    page.close()
    assert ran == "refused"
