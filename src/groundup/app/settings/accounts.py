"""All accounts, for admins."""

import asyncio
from typing import Any

from groundup.app.account_changes import add_account, change_role, remove_account, reset_password
from groundup.app.element import svg, tag
from groundup.app.settings.controls import VALUE, day, dialog, field, row_button, said, table_head
from groundup.app.store.accounts import Role, User
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["draw_accounts"]


async def draw_accounts(visitor: Visitor) -> None:
    """Draw the section."""
    store, admin, live = visitor.app.store, visitor.user.id, visitor.app.sessions

    async def add(given: dict[str, Any]) -> str:
        name, password = str(given["name"]), str(given["password"])
        role: Role = "admin" if given["role"] == "admin" else "member"
        user = await asyncio.to_thread(add_account, store, admin, name, password, role)
        await show()
        return f"{user.name} can sign in"

    async def ask_reset(given: dict[str, Any]) -> None:
        reset_name.props["value"] = str(given["value"])
        resetting.open()

    async def reset(given: dict[str, Any]) -> str:
        name, password = str(given["name"]), str(given["password"])
        await asyncio.to_thread(reset_password, store, admin, name, password)
        forget()
        return f"{name} has another password, and is signed out everywhere"

    async def ask_removal(given: dict[str, Any]) -> None:
        remove_name.props["value"] = str(given["value"])
        remove_label.set_text(f"Type {given['value']} to go on")
        removing.open()

    async def remove(given: dict[str, Any]) -> str:
        name = str(given["name"])
        if str(given["word"]).strip() != name:
            raise GroundupError(f"nothing was removed: type {name} to go on")
        await asyncio.to_thread(remove_account, store, admin, name)
        forget()
        await show()
        return f"{name} is removed"

    def forget() -> None:
        if live is not None:
            live.forget()

    async def show() -> None:
        accounts = await asyncio.to_thread(store.accounts.all)
        listed.clear()
        with listed:
            if not accounts:
                tag("p", "muted", "There are none: only this machine can reach the app.")
                return
            with tag("table", "table"):
                table_head("Account", "Role", "Since")
                with tag("tbody"):
                    for account in accounts:
                        draw_row(account)

    def draw_row(account: User) -> None:
        with tag("tr"):
            tag("td", "", account.name)
            with tag("td"):
                draw_role(account)
            tag("td", "narrow-away", day(account.created))
            with tag("td", "number"):
                row_button("Password", said(ask_reset), account.name, f"of {account.name}")
                if account.id != admin:
                    row_button("Remove", said(ask_removal), account.name)

    def draw_role(account: User) -> None:
        async def change(given: dict[str, Any]) -> str:
            role: Role = "admin" if given["value"] == "admin" else "member"
            try:
                await asyncio.to_thread(change_role, store, admin, account.name, role)
            finally:
                forget()
                await show()
            return f"{account.name} is {role} now"

        with tag("select", "input", aria_label=f"Role of {account.name}") as select:
            for value in ("member", "admin"):
                tag("option", "", value.capitalize(), value=value)
        select.props["value"] = account.role
        select.on("change", said(change), js_handler=VALUE)

    listed = tag("div", "scroll-x")
    await show()
    with dialog("New account", add, "Make account") as adding:
        field("name", "Name", autocomplete="off", maxlength=64)
        field("password", "Password", type="password", autocomplete="new-password")
        with tag("div", "field"):
            tag("label", "", "Role", for_="account-role")
            with tag("select", "", id="account-role", name="role"):
                tag("option", "", "Member", value="member")
                tag("option", "", "Admin", value="admin")
            tag("p", "help", "Admins manage accounts, endpoints and limits.")
    with dialog("New password", reset, "Set password") as resetting:
        reset_name = tag("input", type="hidden", name="name")
        field("password", "Password", type="password", autocomplete="new-password")
    with dialog("Remove account?", remove, "Remove", danger=True) as removing:
        remove_name = tag("input", type="hidden", name="name")
        tag("p", "", "Its conversations, ratings and settings are deleted for good.")
        remove_label = field("word", "", autocomplete="off")
    with tag("div", "row"), tag("button", "button", type="button") as button:
        svg("plus")
        tag("span", "", "Add account")
    button.on("click", adding.open)
