"""A question that has to be answered before something happens."""

import asyncio

from nicegui import Client

from groundup.app.element import tag

__all__ = ["confirm"]


async def confirm(client: Client, title: str, text: str, action: str) -> bool:
    """Ask in a dialog; False when it is closed or the page is left.

    Args:
        client: of the page.
        title, text: what is asked, and what follows from it.
        action: what the button says that agrees.
    """
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def settle(agreed: bool) -> None:
        if not answer.done():
            answer.set_result(agreed)

    with client, tag("dialog", "dialog", aria_label=title) as dialog:
        tag("h2", "", title)
        tag("p", "muted", text)
        with tag("div", "actions"):
            cancel = tag("button", "button quiet", "Cancel", type="button")
            agree = tag("button", "button primary", action, type="button")
    cancel.on("click", lambda: settle(False))
    agree.on("click", lambda: settle(True))
    dialog.on("close", lambda: settle(False))  # Escape
    client.on_delete(lambda: settle(False))
    client.run_javascript(f"getHtmlElement({dialog.id}).showModal()")
    try:
        return await answer
    finally:
        dialog.delete()
