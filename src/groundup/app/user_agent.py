"""What a browser calls itself, in two words."""

import re

__all__ = ["browser_name"]

# The first that fits: most call themselves Mozilla, Safari and Chrome as well.
BROWSERS = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/|Chromium/"),
    ("Safari", r"Safari/"),
)
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux|X11"),
)


def browser_name(agent: str) -> str:
    """The browser and its system, as far as its ``User-Agent`` tells: "Firefox on Linux"."""
    browser = next((name for name, sign in BROWSERS if re.search(sign, agent)), "")
    system = next((name for name, sign in SYSTEMS if re.search(sign, agent)), "")
    return " on ".join(filter(None, (browser, system))) or agent[:40] or "Unknown browser"
