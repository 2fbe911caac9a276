"""What a page shows of a conversation."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.app.answers import Answers
from groundup.app.conversation_window import LOST, MOST_ROWS, ConversationWindow, Difference
from groundup.app.model_server import Endpoint
from groundup.app.store.conversations import NotFoundError
from groundup.app.store.store import Store
from tests.app.scripted_model import scripted_model


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'chat.db'}")
    yield store
    store.close()


@pytest.fixture
def user(kept: Store) -> str:
    return kept.accounts.local().id


async def no_endpoint(model: str) -> Endpoint:
    raise AssertionError


def begun(kept: Store, user: str, count: int) -> tuple[ConversationWindow, list[str]]:
    """A window on a new conversation of so many messages, and their ids."""
    conversation = kept.conversations.create(user, title="t", model="/models/m.gguf")
    ids: list[str] = []
    for i in range(count):
        message = kept.messages.add(
            user,
            conversation.id,
            parent=ids[-1] if ids else None,
            role="assistant" if i % 2 else "user",
            content=f"**{i}**",
            model="/models/m.gguf" if i % 2 else "",
        )
        ids.append(message.id)
    return ConversationWindow(kept, Answers(kept, no_endpoint), user, conversation), ids


async def test_rows(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 2)
    kept.messages.update(user, ids[1], tokens=5, seconds=0.5, parts=["attention"])
    kept.ratings.rate(user, ids[1], -1)
    assert await window.read() == Difference(0, 2)
    assert await window.rows(range(2)) == [
        {"index": 0, "id": ids[0], "role": "user", "text": "**0**", "state": "complete",
         "branch": 0, "branches": 1, "unanswered": False},
        {"index": 1, "id": ids[1], "role": "assistant", "text": "**1**", "state": "complete",
         "branch": 0, "branches": 1, "blocks": ["<p><strong>1</strong></p>\n"], "error": "",
         "model": "m", "tokens": 5, "seconds": 0.5, "rating": -1, "own": ["attention"]},
    ]  # fmt: skip
    assert not window.streaming


async def test_what_has_become_of_it(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 4)
    id = window.conversation.id
    await window.read()
    assert await window.read() == Difference(4, 4)
    kept.messages.add(user, id, parent=ids[3], role="user", content="more")
    assert await window.read() == Difference(4, 5)
    kept.ratings.rate(user, ids[1], 1)
    assert await window.read() == Difference(5, 5, [1])
    # Another answer to the first question: the branch leaves the path there.
    other = kept.messages.add(user, id, parent=ids[0], role="assistant", content="other")
    assert await window.read() == Difference(1, 2)
    [row] = await window.rows([1])
    assert (row["id"], row["branch"], row["branches"]) == (other.id, 1, 2)
    kept.messages.set_head(user, id, ids[1])
    assert await window.read() == Difference(1, 5)
    kept.conversations.rename(user, id, "new")
    await window.read()
    assert window.conversation.title == "new"
    kept.conversations.delete(user, id)
    with pytest.raises(NotFoundError):
        await window.read()


async def test_rows_are_those_that_are_there(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 3)
    await window.read()
    assert [row["id"] for row in await window.rows(range(-5, 99))] == ids
    assert await window.rows(range(3, 9)) == []
    assert await window.rows([]) == []
    window.path = window.path * 200
    assert len(await window.rows(range(600))) == MOST_ROWS


async def test_a_question_without_an_answer(kept: Store, user: str) -> None:
    window, _ = begun(kept, user, 1)
    await window.read()
    assert (await window.rows([0]))[0]["unanswered"]


async def test_an_answer_whose_end_was_not_kept(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 2)
    kept.messages.update(user, ids[1], state="streaming")
    await window.read()
    [row] = await window.rows([1])
    assert (row["state"], row["error"]) == ("failed", LOST)


async def test_an_answer_that_ended_after_it_was_read(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 2)
    kept.messages.update(user, ids[1], state="streaming")
    await window.read()
    kept.messages.update(user, ids[1], state="complete", content="the end")
    [row] = await window.rows([1])
    assert (row["state"], row["text"], row["index"]) == ("complete", "the end", 1)
    assert "the end" in row["blocks"][0]
    kept.conversations.delete(user, window.conversation.id)
    [row] = await window.rows([1])
    assert (row["state"], row["error"]) == ("failed", LOST)


async def test_an_answer_that_is_being_written(kept: Store, user: str) -> None:
    async with scripted_model() as model:
        model.pause.clear()
        answers = Answers(kept, model.endpoint_of)
        await answers.start()
        conversation = kept.conversations.create(user, title="t", model="m")
        await answers.ask(user, conversation.id, "Hi", None)
        window = ConversationWindow(kept, answers, user, conversation)
        await window.read()
        assert window.streaming
        async with asyncio.timeout(10):
            while not (row := (await window.rows([1]))[0])["blocks"]:
                await asyncio.sleep(0.01)
        assert (row["state"], row["blocks"], row["tokens"]) == (
            "streaming", ["<p>Hello</p>\n"], 1,
        )  # fmt: skip
        await answers.close()


def test_a_message_by_its_id(kept: Store, user: str) -> None:
    window, ids = begun(kept, user, 2)
    asyncio.run(window.read())
    assert window.message(ids[1]).content == "**1**"
    with pytest.raises(NotFoundError, match="not shown any more"):
        window.message("x")
