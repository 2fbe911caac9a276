"""A word at the page's edge, for a few seconds."""

import json
from typing import Literal

from nicegui import Client

__all__ = ["toast"]


def toast(client: Client, text: str, kind: Literal["", "good", "bad"] = "") -> None:
    """Say something to the one who looks at a page. Text, never HTML."""
    client.run_javascript(f"groundup.toast({json.dumps(text)}, {json.dumps(kind)})")
