"""Accounts and their sessions; each test on SQLite and on PostgreSQL."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from groundup.app.passwords import hash_password, user_with_password
from groundup.app.store import tables
from groundup.app.store.accounts import User
from groundup.app.store.conversations import NotFoundError
from groundup.app.store.sessions import Session
from groundup.app.store.store import Store
from groundup.errors import GroundupError

AGENT = "Mozilla/5.0"


def test_the_local_user_is_one(store: Store, open_store: Callable[[], Store]) -> None:
    local = store.accounts.local()
    assert (local.name, local.role) == ("local", "admin")
    assert open_store().accounts.local() == local
    assert not store.accounts.all()  # nobody signs in as local
    assert store.accounts.password_hash("local") is None
    with pytest.raises(NotFoundError):
        store.accounts.set_password_hash("local", "hash")
    with pytest.raises(NotFoundError):
        store.accounts.remove("local")


def test_accounts(store: Store) -> None:
    eve = store.accounts.add(" Eve ", "hash of eve", "admin")
    dan = store.accounts.add("dan", "hash of dan", "member")
    assert (eve.name, eve.is_admin, dan.is_admin) == ("eve", True, False)
    assert store.accounts.all() == [dan, eve]
    assert store.accounts.get(eve.id) == eve
    assert store.accounts.password_hash(" EVE") == (eve, "hash of eve")
    assert store.accounts.password_hash("nobody") is None
    store.accounts.set_password_hash("eve", "other")
    assert store.accounts.password_hash("eve") == (eve, "other")
    with pytest.raises(GroundupError, match="there is an account 'eve' already"):
        store.accounts.add("EVE", "hash", "member")
    with pytest.raises(GroundupError, match="eve is the only admin"):
        store.accounts.set_role("eve", "member")
    with pytest.raises(GroundupError, match="eve is the only admin"):
        store.accounts.remove("eve")
    store.accounts.set_role("dan", "admin")
    store.accounts.remove("eve")
    assert store.accounts.all() == [User(dan.id, "dan", "admin", dan.created)]
    store.accounts.remove("dan")  # the last account may go
    assert not store.accounts.all()
    for call in (store.accounts.remove, store.accounts.get):
        with pytest.raises(NotFoundError):
            call("dan")


@pytest.mark.parametrize("name", ["", "local", "a b", "-a", "é", "a" * 65, "a\nb", "../a", "a/b"])
def test_what_is_no_name(store: Store, name: str) -> None:
    with pytest.raises(GroundupError, match="an account's name is 1 to 64 letters"):
        store.accounts.add(name, "hash", "member")


def test_a_removed_account_leaves_nothing(store: Store, ada: str, bob: str) -> None:
    conversation = store.conversations.create(bob, folder=None).id
    message = store.messages.add(bob, conversation, parent=None, role="user", content="x").id
    store.ratings.rate(bob, message, 1)
    store.conversations.create_folder(bob, "f")
    store.settings.put(bob, "k", 1)
    token = store.sessions.start(bob, AGENT)
    store.accounts.remove("bob")
    assert store.sessions.find(token) is None
    kept = {"users", "schema_history"}
    with store._database.reading() as connection:
        for table in tables.metadata.sorted_tables:
            rows = connection.execute(select(table)).all()
            assert len(rows) == (1 if table.name in kept else 0), table.name


def test_sessions(store: Store, ada: str, bob: str, open_store: Callable[[], Store]) -> None:
    before = time.time()
    token = store.sessions.start(ada, AGENT + "x" * 1000)
    other = store.sessions.start(ada, "other")
    bobs = store.sessions.start(bob, "bob's")
    found = open_store().sessions.find(token)
    assert isinstance(found, Session)
    assert found.user == store.accounts.get(ada)
    assert found.agent == (AGENT + "x" * 1000)[:200]
    assert found.expires - found.created == pytest.approx(14 * 86400)
    assert before <= found.created <= time.time()
    assert [s.agent for s in store.sessions.all(ada)] == ["other", found.agent]
    with store._database.reading() as connection:  # a stolen database signs nobody in
        rows = connection.execute(select(tables.sessions)).all()
        assert not {token, other, bobs} & {value for row in rows for value in row}
    store.accounts.set_role("bob", "admin")
    of_bob = store.sessions.find(bobs)
    assert of_bob is not None
    assert of_bob.user.is_admin  # at once
    store.sessions.end(ada, of_bob.id)  # another's: nothing happens
    assert store.sessions.find(bobs) == of_bob
    store.sessions.end_all(ada, but=found.id)
    assert store.sessions.all(ada) == [found]
    store.sessions.end(ada, found.id)
    assert store.sessions.find(token) is None
    assert store.sessions.find(bobs) == of_bob
    for nothing in ("", "nothing", "\ud800", "\0"):
        assert store.sessions.find(nothing) is None


def test_sessions_expire(store: Store, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = store.sessions.start(ada, "short", 100), store.sessions.start(ada, "long", 300)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 99)
    assert store.sessions.find(short) is not None
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert store.sessions.find(short) is None
    assert [s.agent for s in store.sessions.all(ada)] == ["long"]
    store.sessions.start(ada, "new")
    with store._database.reading() as connection:  # and are forgotten
        assert len(connection.execute(select(tables.sessions)).all()) == 2
    assert store.sessions.find(long) is not None


def test_a_password_opens_its_account_alone(store: Store) -> None:
    password = "correct horse é \ud800"
    eve = store.accounts.add("eve", hash_password(password), "admin")
    store.accounts.add("dan", hash_password("another one"), "member")
    assert user_with_password(store, " EVE ", password) == eve
    for name, wrong in (
        ("eve", password + "x"), ("eve", ""), ("dan", password), ("nobody", password),
        ("nobody", ""), ("local", ""), ("eve", password + "x" * 100_000),
    ):  # fmt: skip
        assert user_with_password(store, name, wrong) is None


def test_a_weaker_hash_is_renewed(store: Store) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a password")
    store.accounts.add("eve", weak, "admin")
    assert user_with_password(store, "eve", "wrong password") is None
    assert store.accounts.password_hash("eve")[1] == weak  # type: ignore[index]
    assert user_with_password(store, "eve", "a password") is not None
    renewed = store.accounts.password_hash("eve")[1]  # type: ignore[index]
    assert renewed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert user_with_password(store, "eve", "a password") is not None
