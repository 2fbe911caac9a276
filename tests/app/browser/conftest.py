"""The app in a real browser: Debian's Chromium, driven by Playwright."""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, Response, expect, sync_playwright

from groundup.course.workspace import init_workspace
from tests.app.browser.site import Site, start_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT = 30_000  # milliseconds: machines may be busy
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[Site]:
    """One that tests share, on a tiny random model: none relies on what another left."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with start_site(tmp_path_factory.mktemp("site"), tiny_model) as running:
        yield running


@pytest.fixture(scope="session")
def model_site(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[Site]:
    """One with a workspace, so that its model runs; shared as `site` is."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    folder = tmp_path_factory.mktemp("model-site")
    init_workspace(folder / "workspace")
    with start_site(folder, tiny_model, "--threads", "1") as running:
        yield running


@pytest.fixture(scope="module")  # while it is open, asyncio runs nothing else in this process
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each a browser of its own; in the end none has complained of anything.

    An error in the console, an exception, an answer of 500 or a request to another host fails the
    test.
    """
    complaints: list[str] = []
    contexts = []

    def opened(width: int = 1280, height: int = 800, theme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            permissions=["clipboard-read", "clipboard-write"],
            reduced_motion="reduce",
        )
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        page = context.new_page()

        def of_request(request: Request) -> None:
            if not re.match(r"(data:|blob:|(http|ws)://(127\.0\.0\.1|localhost)[:/])", request.url):
                complaints.append(f"asked {request.url}")

        def of_response(response: Response) -> None:
            if response.status >= 500:
                complaints.append(f"{response.status} from {response.url}")

        page.on("request", of_request)
        page.on("response", of_response)
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """An empty page of a desktop's size; see `open_page`."""
    return open_page()
