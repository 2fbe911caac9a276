"""What one may change about accounts: one's own password, and, as an admin, all of them.

Pages stay open while their user's role changes: each of these looks at the store anew.
"""

import asyncio

from groundup.app.passwords import checked_password, hash_password
from groundup.app.sign_in import LiveSessions
from groundup.app.store.accounts import Role, User, account_name
from groundup.app.store.store import Store
from groundup.errors import GroundupError

__all__ = [
    "add_account",
    "change_own_password",
    "change_role",
    "remove_account",
    "require_admin",
    "reset_password",
]


def require_admin(store: Store, user: str) -> None:
    """Raises: GroundupError: the user with this id is no admin."""
    if not store.accounts.get(user).is_admin:
        raise GroundupError("only admins may do this: ask one of them")


async def change_own_password(
    store: Store, sessions: LiveSessions, user: User, session: str, current: str, new: str, ip: str
) -> None:
    """Change one's password, and end one's other sessions.

    Args:
        store: that holds the account.
        sessions: that count attempts at ``current``.
        user: whose password it is.
        session: id of the one that goes on.
        current: password.
        new: password.
        ip: where the wish comes from.

    Raises:
        GroundupError: the current password is wrong, or the new one cannot be used.
    """
    checked_password(new, user.name)
    if await sessions.user(user.name, current, ip) is None:
        raise GroundupError("the current password is wrong")

    def change() -> None:
        store.accounts.set_password_hash(user.name, hash_password(new))
        store.sessions.end_all(user.id, but=session)

    await asyncio.to_thread(change)
    sessions.forget()


def add_account(store: Store, admin: str, name: str, password: str, role: Role) -> User:
    """Make an account.

    Raises:
        GroundupError: the user ``admin`` is none, or name or password cannot be used.
    """
    require_admin(store, admin)
    name = account_name(name)
    return store.accounts.add(name, hash_password(checked_password(password, name)), role)


def reset_password(store: Store, admin: str, name: str, password: str) -> None:
    """Give an account another password, and end its sessions.

    Raises:
        GroundupError: the user ``admin`` is none, there is no such account, or the password cannot
            be used.
    """
    require_admin(store, admin)
    user = store.accounts.set_password_hash(name, hash_password(checked_password(password, name)))
    store.sessions.end_all(user.id)


def change_role(store: Store, admin: str, name: str, role: Role) -> None:
    """Give an account another role.

    Raises:
        GroundupError: the user ``admin`` is none, or no admin would be left.
    """
    require_admin(store, admin)
    store.accounts.set_role(name, role)


def remove_account(store: Store, admin: str, name: str) -> None:
    """Remove an account with everything it has.

    Raises:
        GroundupError: the user ``admin`` is none or has this name, or no admin would be left.
    """
    require_admin(store, admin)
    if store.accounts.get(admin).name == name:
        raise GroundupError("this is your own account: another admin can remove it")
    store.accounts.remove(name)
