"""Changes of accounts: what admins may, what one may oneself, and who may not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from groundup.app import passwords
from groundup.app.account_changes import (
    add_account,
    change_own_password,
    change_role,
    remove_account,
    reset_password,
)
from groundup.app.passwords import hash_password, user_with_password
from groundup.app.sign_in import LiveSessions, TooManyAttemptsError
from groundup.app.store.accounts import User
from groundup.app.store.store import Store
from groundup.app.user_agent import browser_name
from groundup.errors import GroundupError

OLD, NEW = "correct horse battery", "another one entirely"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)
    return Store(f"sqlite:///{tmp_path / 'app.db'}")


@pytest.fixture
def ada(store: Store) -> User:
    return store.accounts.add("ada", hash_password(OLD), "admin")


@pytest.fixture
def bob(store: Store) -> User:
    return store.accounts.add("bob", hash_password(OLD), "member")


def test_admins_manage_accounts(store: Store, ada: User, bob: User) -> None:
    token = store.sessions.start(bob.id, "browser")
    reset_password(store, ada.id, "bob", NEW)
    assert store.sessions.find(token) is None
    assert user_with_password(store, "bob", NEW) == bob
    eve = add_account(store, ada.id, "Eve", NEW, "member")
    assert user_with_password(store, "eve", NEW) == eve
    change_role(store, ada.id, "eve", "admin")
    assert store.accounts.get(eve.id).is_admin
    remove_account(store, eve.id, "ada")
    assert {u.name for u in store.accounts.all()} == {"bob", "eve"}
    with pytest.raises(GroundupError, match="this is your own account"):
        remove_account(store, eve.id, "eve")
    with pytest.raises(GroundupError, match="10 to 1000 characters"):
        add_account(store, eve.id, "dan", "short", "member")
    with pytest.raises(GroundupError, match="10 to 1000 characters"):
        reset_password(store, eve.id, "bob", "short")


def test_members_manage_nothing(store: Store, ada: User, bob: User) -> None:
    calls: list[Callable[[str], object]] = [
        lambda who: add_account(store, who, "eve", NEW, "admin"),
        lambda who: reset_password(store, who, "ada", NEW),
        lambda who: change_role(store, who, "bob", "admin"),
        lambda who: remove_account(store, who, "ada"),
    ]
    for call in calls:
        with pytest.raises(GroundupError, match="only admins may do this"):
            call(bob.id)
        with pytest.raises(GroundupError, match="this account was removed"):
            call("nobody")
    assert {(u.name, u.role) for u in store.accounts.all()} == {("ada", "admin"), ("bob", "member")}
    assert user_with_password(store, "ada", OLD) == ada


async def test_ones_own_password(store: Store, bob: User) -> None:
    live = LiveSessions(store)
    here, there = (store.sessions.start(bob.id, name) for name in ("here", "there"))
    session = store.sessions.find(here)
    assert session is not None
    assert await live.find(there) is not None

    async def change(current: str, new: str) -> None:
        await change_own_password(store, live, bob, session.id, current, new, "192.0.2.1")

    for current, new, reason in (
        ("wrong", NEW, "the current password is wrong"),
        (OLD, "short", "10 to 1000 characters"),
    ):
        with pytest.raises(GroundupError, match=reason):
            await change(current, new)
    assert user_with_password(store, "bob", OLD) == bob
    await change(OLD, NEW)
    assert user_with_password(store, "bob", NEW) == bob
    assert await live.find(there) is None  # at once
    assert await live.find(here) is not None
    for _ in range(4):  # after the wrong one above
        with pytest.raises(GroundupError, match="is wrong"):
            await change("guess", OLD)
    with pytest.raises(TooManyAttemptsError):
        await change("guess", OLD)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/120.0.0.0 Safari/537.36",
            "Chrome on Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; rv:121.0) Gecko/20100101 Firefox/121.0",
            "Firefox on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0",
            "Edge on Windows",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Unknown browser"),
    ],
)
def test_a_browsers_name(agent: str, name: str) -> None:
    assert browser_name(agent) == name
