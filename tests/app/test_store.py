"""Conversations, messages, ratings and settings; each test on SQLite and on PostgreSQL."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from groundup.app.store.conversations import NotFoundError
from groundup.app.store.messages import Message, Role
from groundup.app.store.store import Store
from groundup.errors import GroundupError


def test_a_conversation_is_kept(store: Store, ada: str, open_store: Callable[[], Store]) -> None:
    folder = store.conversations.create_folder(ada, "Work")
    made = store.conversations.create(
        ada,
        title="  A\n title ",
        model="m",
        system="Be brief.",
        sampling={"temperature": 0.1, "stop": ["\ud800\0", "é"]},
        folder=folder.id,
    )
    assert made.title == "A title"
    assert open_store().conversations.get(ada, made.id) == made
    store.conversations.rename(ada, made.id, "x" * 1000)
    store.conversations.move(ada, made.id, None)
    store.conversations.configure(ada, made.id, model="n", system="", sampling={"top_k": 3})
    assert store.conversations.get(ada, made.id) == replace(
        made, title="x" * 200, folder_id=None, model="n", system="", sampling={"top_k": 3}
    )


def test_conversations_are_listed_latest_first(store: Store, ada: str) -> None:
    first, second = (store.conversations.create(ada, title=t) for t in "ab")
    assert [c.id for c in store.conversations.all(ada)] == [second.id, first.id]
    store.messages.add(ada, first.id, parent=None, role="user", content="hello")
    assert [c.id for c in store.conversations.all(ada)] == [first.id, second.id]


def test_a_folder_leaves_its_conversations(store: Store, ada: str) -> None:
    b, a = (store.conversations.create_folder(ada, name) for name in ("b", "A"))
    held = store.conversations.create(ada, folder=b.id)
    assert store.conversations.folders(ada) == [a, b]
    store.conversations.rename_folder(ada, a.id, " c  d ")
    store.conversations.delete_folder(ada, b.id)
    assert [f.name for f in store.conversations.folders(ada)] == ["c d"]
    assert store.conversations.get(ada, held.id).folder_id is None
    with pytest.raises(GroundupError, match="needs a name"):
        store.conversations.create_folder(ada, " \n ")
    with pytest.raises(NotFoundError, match="no such folder"):
        store.conversations.create(ada, folder=b.id)


def test_branches(store: Store, ada: str) -> None:
    conversation = store.conversations.create(ada).id

    def say(parent: str | None, content: str) -> Message:
        role: Role = "user" if content.startswith("q") else "assistant"
        return store.messages.add(
            ada,
            conversation,
            parent=parent,
            role=role,
            content=content,
        )

    def shown() -> list[str]:
        return [m.content for m in store.messages.path(ada, conversation)]

    q1 = say(None, "q1")
    a1 = say(q1.id, "a1")
    q2 = say(a1.id, "q2")
    say(q2.id, "a2")
    assert shown() == ["q1", "a1", "q2", "a2"]
    a1b = say(q1.id, "a1b")
    assert shown() == ["q1", "a1b"]
    assert store.messages.path(ada, conversation)[1].siblings == (a1.id, a1b.id)
    q2b = say(a1.id, "q2b")
    head = store.messages.set_head(ada, conversation, a1.id)  # the newest below it
    assert head == q2b.id == store.conversations.get(ada, conversation).head_id
    assert shown() == ["q1", "a1", "q2b"]
    assert store.messages.set_head(ada, conversation, q2.id) != q2.id
    assert shown() == ["q1", "a1", "q2", "a2"]
    say(None, "q0")
    assert shown() == ["q0"]
    assert [m.content for m in store.messages.path(ada, conversation, a1b.id)] == ["q1", "a1b"]
    assert len(store.messages.tree(ada, conversation)) == 7
    other = store.conversations.create(ada).id
    with pytest.raises(NotFoundError):
        store.messages.add(ada, other, parent=q1.id, role="user", content="elsewhere")
    with pytest.raises(NotFoundError):
        store.messages.set_head(ada, other, q1.id)
    with pytest.raises(NotFoundError):
        store.messages.path(ada, other, q1.id)


def test_an_answer_grows_and_ends(store: Store, ada: str, open_store: Callable[[], Store]) -> None:
    conversation = store.conversations.create(ada).id
    answer = store.messages.add(
        ada,
        conversation,
        parent=None,
        role="assistant",
        content="",
        state="streaming",
        model="m",
        parts=["attention"],
    )
    store.messages.update(ada, answer.id, content="Hel")
    assert store.messages.get(ada, answer.id) == replace(
        answer, content="Hel", siblings=(answer.id,)
    )
    other = store.messages.add(ada, conversation, parent=answer.id, role="user", content="q")
    # The process ends, and another one begins.
    again = open_store()
    assert again.messages.fail_streaming("the app was closed") == 1
    failed = again.messages.get(ada, answer.id)
    assert (failed.state, failed.error, failed.content) == ("failed", "the app was closed", "Hel")
    assert again.messages.get(ada, other.id).state == "complete"
    store.messages.update(
        ada, answer.id, content="Hello", state="complete", error="", tokens=2, seconds=0.1, parts=[]
    )
    assert store.messages.get(ada, answer.id) == replace(
        answer,
        content="Hello",
        state="complete",
        tokens=2,
        seconds=0.1,
        parts=[],
        siblings=(answer.id,),
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("zero \0 byte", "zero \ufffd byte"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("\ud83d\ude00", "😀"),
        ("'; DROP TABLE messages; --", "'; DROP TABLE messages; --"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("e\u0301 \u202e \uffff", "e\u0301 \u202e \uffff"),
    ],
)
def test_any_text_is_kept(store: Store, ada: str, text: str, kept: str) -> None:
    conversation = store.conversations.create(ada, title=text, system=text).id
    message = store.messages.add(ada, conversation, parent=None, role="user", content=text)
    assert store.messages.get(ada, message.id).content == kept
    assert store.conversations.get(ada, conversation).system == kept
    assert [f.conversation.id for f in store.conversations.search(ada, text)] == [conversation]
    with pytest.raises(NotFoundError):
        store.conversations.get(ada, text)


def test_search(store: Store, ada: str, bob: str) -> None:
    titled = store.conversations.create(ada, title="On ÉTUDES, 100%").id
    talked = store.conversations.create(ada).id
    long = f"{'before ' * 20}The études of Chopin{' after' * 20}"
    said = store.messages.add(ada, talked, parent=None, role="user", content=long)
    store.messages.add(ada, talked, parent=said.id, role="assistant", content="études again")
    store.conversations.create(bob, title="études")
    first, second = store.conversations.search(ada, " Études ")
    assert (first.conversation.id, first.message_id) == (talked, said.id)
    assert "The études of Chopin after" in first.excerpt
    assert (first.excerpt[0], first.excerpt[-1]) == ("…", "…")
    assert (second.conversation.id, second.message_id) == (titled, None)
    assert second.excerpt == "On ÉTUDES, 100%"
    # What has a meaning in LIKE has none here.
    assert [f.conversation.id for f in store.conversations.search(ada, "0%")] == [titled]
    for nothing in ("%", "_", "100_", "", " "):
        found = store.conversations.search(ada, nothing)
        assert [f.conversation.id for f in found] == ([titled] if nothing == "%" else [])
    assert len(store.conversations.search(ada, "é", limit=1)) == 1


def test_ten_thousand_messages(store: Store, ada: str) -> None:
    from groundup.app.store.tables import conversations, messages

    conversation = store.conversations.create(ada).id
    row = {"role": "user", "content": "x", "state": "complete", "error": "", "model": ""}
    rows = [
        {"id": f"m{i}", "parent_id": f"m{i - 1}" if i else None, "created": float(i)}
        | {"conversation_id": conversation, "parts": []}
        | row
        for i in range(10_000)
    ]
    with store._database.writing() as connection:
        connection.execute(messages.insert(), rows)
        connection.execute(conversations.update().values(head_id="m9999"))
    path = store.messages.path(ada, conversation)
    assert [m.id for m in path] == [f"m{i}" for i in range(10_000)]
    assert store.messages.set_head(ada, conversation, "m0") == "m9999"
    store.conversations.delete(ada, conversation)  # deeper than SQLite's cascades may be
    with store._database.reading() as connection:
        assert not connection.execute(messages.select()).all()


def test_ratings_make_pairs(store: Store, ada: str, bob: str) -> None:
    conversation = store.conversations.create(ada, system="Be brief.").id
    other = store.conversations.create(ada).id

    def say(where: str, parent: str | None, role: Role, content: str) -> str:
        made = store.messages.add(
            ada,
            where,
            parent=parent,
            role=role,
            content=content,
        )
        return made.id

    question = say(conversation, None, "user", "q")
    good, bad, unrated, failed = (
        say(conversation, question, "assistant", a) for a in ("good", "bad", "unrated", "failed")
    )
    deeper = say(conversation, say(conversation, good, "user", "q2"), "assistant", "deeper")
    alone = say(other, None, "assistant", "alone é")
    store.messages.update(ada, failed, state="failed")
    for message, value in ((good, -1), (good, 1), (bad, -1), (failed, -1), (deeper, 1), (alone, 1)):
        store.ratings.rate(ada, message, value)
    store.ratings.rate(ada, unrated, 1)
    store.ratings.rate(ada, unrated, 0)
    assert store.ratings.of(ada, conversation) == {good: 1, bad: -1, failed: -1, deeper: 1}
    pairs = [json.loads(line) for line in store.ratings.preference_pairs(ada)]
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
    chosen, rejected = ([{"role": "assistant", "content": a}] for a in ("good", "bad"))
    assert pairs == [{"prompt": prompt, "chosen": chosen, "rejected": rejected}]
    store.ratings.rate(ada, say(other, None, "assistant", "worse"), -1)
    assert [json.loads(p)["prompt"] for p in store.ratings.preference_pairs(ada)] == [prompt, []]
    assert not list(store.ratings.preference_pairs(bob))
    with pytest.raises(ValueError, match="-1, 0 or 1, got 2"):
        store.ratings.rate(ada, good, 2)


def test_settings(store: Store, ada: str, bob: str) -> None:
    assert store.settings.get(ada, "theme", "system") == "system"
    store.settings.put(ada, "theme", "light")
    store.settings.put(ada, "theme", {"a": [1, 0.1, None, "é\ud800"]})
    store.settings.put(bob, "theme", "dark")
    store.server_settings.put("limit", 1)
    store.server_settings.put("limit", 2)
    assert store.settings.all(ada) == {"theme": {"a": [1, 0.1, None, "é\ud800"]}}
    assert store.server_settings.all() == {"limit": 2}
    for bad in (float("nan"), object()):
        with pytest.raises((TypeError, ValueError)):
            store.settings.put(ada, "theme", bad)
    assert store.settings.get(ada, "theme") is not None


def test_nobody_reaches_what_is_anothers(store: Store, ada: str, bob: str) -> None:
    folder = store.conversations.create_folder(ada, "f").id
    conversation = store.conversations.create(ada, title="secret", folder=folder).id
    message = store.messages.add(ada, conversation, parent=None, role="user", content="secret").id
    store.ratings.rate(ada, message, 1)
    own = store.conversations.create(bob).id
    c, m, r = store.conversations, store.messages, store.ratings
    refused: list[Callable[[], object]] = [
        lambda: c.get(bob, conversation),
        lambda: c.rename(bob, conversation, "mine"),
        lambda: c.move(bob, conversation, None),
        lambda: c.move(bob, own, folder),
        lambda: c.configure(bob, conversation, model="", system="", sampling={}),
        lambda: c.create(bob, folder=folder),
        lambda: c.rename_folder(bob, folder, "mine"),
        lambda: m.add(bob, conversation, parent=None, role="user", content=""),
        lambda: m.add(bob, own, parent=message, role="user", content=""),
        lambda: m.update(bob, message, content="mine"),
        lambda: m.get(bob, message),
        lambda: m.path(bob, conversation),
        lambda: m.path(bob, own, message),
        lambda: m.tree(bob, conversation),
        lambda: m.set_head(bob, conversation, message),
        lambda: m.set_head(bob, own, message),
        lambda: r.rate(bob, message, -1),
        lambda: r.of(bob, conversation),
    ]
    for call in refused:
        with pytest.raises(NotFoundError):
            call()
    c.delete(bob, conversation)
    c.delete_folder(bob, folder)
    assert not c.search(bob, "secret")
    assert [x.id for x in c.all(bob)] == [own]
    assert not c.folders(bob)
    assert c.get(ada, conversation).title == "secret"
    assert m.get(ada, message).content == "secret"
    assert r.of(ada, conversation) == {message: 1}
    assert [f.id for f in c.folders(ada)] == [folder]


def test_what_threads_write_at_once_is_all_there(store: Store, ada: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    conversation = store.conversations.create(ada).id
    answers = [
        store.messages.add(ada, conversation, parent=None, role="assistant", content="").id
        for _ in range(8)
    ]

    def write(answer: str) -> None:
        for i in range(10):
            store.messages.update(ada, answer, content=f"{answer} {i}")
            store.settings.put(ada, "same", answer)
            store.ratings.rate(ada, answers[0], 1)
            time.sleep(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, answers))
    assert [m.content for m in store.messages.tree(ada, conversation)] == [
        f"{answer} 9" for answer in answers
    ]
    assert store.settings.get(ada, "same") in answers
