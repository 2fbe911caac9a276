"""Answers that are written whatever pages do, and kept however they end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.app import answers as module
from groundup.app.answers import Answers, Changed, Progress
from groundup.app.markdown import GrowingMarkdown
from groundup.app.model_server import Endpoint
from groundup.app.preferences import put_limits
from groundup.app.store.conversations import Conversation
from groundup.app.store.messages import Message
from groundup.app.store.store import Store
from groundup.app.token_chance import TokenChance
from groundup.errors import GroundupError
from tests.app.scripted_model import ScriptedModel, scripted_model


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'chat.db'}")
    yield store
    store.close()


@pytest.fixture
def user(kept: Store) -> str:
    return kept.accounts.local().id


@pytest.fixture
def chat(kept: Store, user: str) -> Conversation:
    return kept.conversations.create(user, title="t", model="m")


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with scripted_model() as model:
        yield model


@pytest.fixture
async def answers(kept: Store, model: ScriptedModel) -> AsyncIterator[Answers]:
    answers = Answers(kept, model.endpoint_of)
    await answers.start()
    yield answers
    await answers.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def finished(answers: Answers, kept: Store, user: str, chat: Conversation) -> Message:
    """The last message, when nothing is being written any more."""
    await until(lambda: not answers.conversations())
    return kept.messages.path(user, chat.id)[-1]


async def test_an_answer(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    kept.conversations.configure(user, chat.id, model="m", system="Be kind.", sampling={"top_k": 3})
    question = await answers.ask(user, chat.id, " Hi \n", None)
    answer = await finished(answers, kept, user, chat)
    assert (answer.content, answer.state, answer.tokens) == ("Hello there.", "complete", 7)
    assert (answer.parent_id, answer.model, answer.error) == (question, "m", "")
    assert answer.parts == ["attention", "sampling"]  # those on its path, in its order
    assert answer.seconds is not None
    assert answer.seconds >= 0
    [request] = model.requests
    assert request == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_k": 3,
    }
    assert model.keys == ["Bearer secret"]


async def test_an_endpoint_has_its_own_way_of_sampling(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    sampling = (("temperature", 0.2), ("top_p", 0.9))
    model.endpoint = replace(model.endpoint, sampling=sampling)
    kept.conversations.configure(user, chat.id, model="m", system="", sampling={"top_p": 0.5})
    await answers.ask(user, chat.id, "Hi", None)
    await finished(answers, kept, user, chat)
    assert (model.requests[0]["temperature"], model.requests[0]["top_p"]) == (0.2, 0.5)


async def test_the_question_is_kept_before_it_is_acknowledged(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    question = await answers.ask(user, chat.id, "Hi", None)
    [first, second] = kept.messages.path(user, chat.id)
    assert (first.id, first.content) == (question, "Hi")
    assert (second.role, second.state) == ("assistant", "streaming")


async def test_what_grows_is_kept_meanwhile(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    await until(lambda: kept.messages.path(user, chat.id)[-1].content == "Hello")
    assert kept.messages.path(user, chat.id)[-1].state == "streaming"


async def test_pages_are_told(
    answers: Answers, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pieces = ["# One\n\n", "**two", "** three\n\n", "four"]
    heard: list[Progress | Changed] = []
    lists: list[Progress | Changed] = []
    end = answers.changes.listen(chat.id, heard.append)
    answers.changes.listen(user, lists.append)
    await answers.ask(user, chat.id, "Hi", None)
    await until(lambda: not answers.conversations())
    assert lists == [Changed(chat.id)] * 2  # it began, and it ended
    assert heard[-1] == Changed(chat.id)
    shown: list[str] = []
    for event in heard:
        if isinstance(event, Progress):
            shown[event.first :] = event.blocks
    assert shown == ["<h1>One</h1>\n", "<p><strong>two</strong> three</p>\n", "<p>four</p>\n"]
    end()
    heard.clear()
    await answers.ask(user, chat.id, "Hi", None)
    await until(lambda: not answers.conversations())
    assert heard == []


async def test_the_first_piece_is_told_at_once_and_the_others_together(
    answers: Answers, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pieces = ["x "] * 500
    heard: list[Progress | Changed] = []
    answers.changes.listen(chat.id, heard.append)
    await answers.ask(user, chat.id, "Hi", None)
    await until(lambda: not answers.conversations())
    told = [event for event in heard if isinstance(event, Progress) and event.blocks]
    assert 1 <= len(told) < 250
    assert len(told[0].blocks[0]) < 500


async def test_a_page_that_comes_later_gets_all_so_far(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    answer = kept.messages.path(user, chat.id)[-1].id
    await until(lambda: (p := answers.progress(answer)) and p.blocks)
    progress = answers.progress(answer)
    assert progress is not None
    assert (progress.first, progress.blocks, progress.tokens) == (0, ["<p>Hello</p>\n"], 1)
    model.pause.set()
    await finished(answers, kept, user, chat)
    assert answers.progress(answer) is None


async def test_pages_that_come_and_go_disturb_no_other(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pieces = [f"w{i} " if i % 3 else "\n\n" for i in range(300)]
    model.delay = 0.002
    pages: list[list[str]] = [[]]

    def listen(page: list[str]) -> None:
        def hear(event: Progress | Changed) -> None:
            if isinstance(event, Progress):
                assert event.first <= len(page)
                page[event.first :] = event.blocks

        answers.changes.listen(chat.id, hear)

    listen(pages[0])
    await answers.ask(user, chat.id, "Hi", None)
    answer = kept.messages.path(user, chat.id)[-1].id
    while answers.writing(answer):
        await asyncio.sleep(0.001)
        if (progress := answers.progress(answer)) and len(pages) < 20:
            pages.append(list(progress.blocks))
            listen(pages[-1])
    growing = GrowingMarkdown()
    growing.update("".join(model.pieces))
    assert pages == [growing.blocks] * 20  # each of them


async def test_stop(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    answer = kept.messages.path(user, chat.id)[-1].id
    await until(lambda: (p := answers.progress(answer)) and p.blocks)
    answers.stop(answer)
    answers.stop(answer)  # twice does no harm
    stopped = await finished(answers, kept, user, chat)
    assert (stopped.content, stopped.state, stopped.error) == ("Hello", "stopped", "")


async def test_stop_at_once(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    question = kept.messages.add(user, chat.id, parent=None, role="user", content="Hi")
    await answers.answer(user, question)
    answers.stop(kept.messages.path(user, chat.id)[-1].id)
    assert (await finished(answers, kept, user, chat)).state == "stopped"


async def test_the_engine_dies_in_mid_answer(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.broken_after = 2
    await answers.ask(user, chat.id, "Hi", None)
    failed = await finished(answers, kept, user, chat)
    assert (failed.content, failed.state) == ("Hello there", "failed")
    assert "broke off" in failed.error
    # The conversation goes on: the same question again makes another branch.
    model.broken_after = None
    await answers.answer(user, kept.messages.path(user, chat.id)[0])
    again = await finished(answers, kept, user, chat)
    assert (again.content, again.state) == ("Hello there.", "complete")
    assert again.siblings == (failed.id, again.id)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"error": (503, "it is full")}, "it is full"),
        ({"error": (500, "x" * 10)}, "xxx"),
        ({"late_error": "the engine ended"}, "the engine ended"),
        ({"broken_after": 0}, "broke off"),
    ],
)
async def test_an_answer_that_fails_says_why(
    answers: Answers,
    kept: Store,
    user: str,
    chat: Conversation,
    model: ScriptedModel,
    attributes: dict[str, object],
    said: str,
) -> None:
    for name, value in attributes.items():
        setattr(model, name, value)
    await answers.ask(user, chat.id, "Hi", None)
    failed = await finished(answers, kept, user, chat)
    assert failed.state == "failed"
    assert said in failed.error


async def test_no_server_at_all(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.endpoint = Endpoint("http://127.0.0.1:9/v1", "m")
    await answers.ask(user, chat.id, "Hi", None)
    assert "cannot be reached" in (await finished(answers, kept, user, chat)).error


async def test_a_model_that_cannot_be_served(kept: Store, user: str, chat: Conversation) -> None:
    async def endpoint(model: str) -> Endpoint:
        raise GroundupError(f"{model} cannot be served: no such file")

    answers = Answers(kept, endpoint)
    await answers.start()
    await answers.ask(user, chat.id, "Hi", None)
    assert (await finished(answers, kept, user, chat)).error == "m cannot be served: no such file"
    await answers.close()


async def test_a_stream_of_another_kind(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pieces = [5]  # type: ignore[list-item]
    await answers.ask(user, chat.id, "Hi", None)
    assert "does not speak OpenAI's way" in (await finished(answers, kept, user, chat)).error


async def test_without_usage_pieces_are_counted(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.usage = None
    await answers.ask(user, chat.id, "Hi", None)
    assert (await finished(answers, kept, user, chat)).tokens == 3


async def test_the_app_ends(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    answer = kept.messages.path(user, chat.id)[-1].id
    await until(lambda: (p := answers.progress(answer)) and p.blocks)
    await answers.close()
    kept_answer = kept.messages.path(user, chat.id)[-1]
    assert (kept_answer.content, kept_answer.state) == ("Hello", "stopped")


async def test_the_app_was_killed(kept: Store, user: str, chat: Conversation) -> None:
    add = kept.messages.add
    question = add(user, chat.id, parent=None, role="user", content="Hi")
    add(user, chat.id, parent=question.id, role="assistant", content="Hel", state="streaming")

    async def endpoint(model: str) -> Endpoint:
        raise AssertionError

    answers = Answers(kept, endpoint)
    await answers.start()
    answer = kept.messages.path(user, chat.id)[-1]
    assert (answer.content, answer.state) == ("Hel", "failed")
    assert "ended while this answer was being written" in answer.error
    await answers.close()


@pytest.mark.parametrize("text", ["", " \n ", "x" * 50_001])
async def test_messages_that_are_refused(
    answers: Answers, kept: Store, user: str, chat: Conversation, text: str
) -> None:
    with pytest.raises(GroundupError, match=r"empty|50,001 characters"):
        await answers.ask(user, chat.id, text, None)
    assert kept.messages.path(user, chat.id) == []


async def test_limits_hold(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    limits = {"answer_tokens": 16, "message_characters": 100, "running_answers": 2}
    put_limits(kept, limits)
    with pytest.raises(GroundupError, match="101 characters long, and at most 100 can"):
        await answers.ask(user, chat.id, "x" * 101, None)
    model.pieces = ["a "] * 100
    await answers.ask(user, chat.id, "x" * 100, None)
    answer = await finished(answers, kept, user, chat)
    assert (answer.content, answer.state, answer.tokens) == ("a " * 16, "complete", 16)
    assert answer.error == "the answer ends at 16 tokens, the limit"
    model.pause.clear()
    question = await answers.ask(user, chat.id, "one", None)
    await answers.ask(user, chat.id, "two", None)
    for again in (
        answers.ask(user, chat.id, "three", None),
        answers.answer(user, kept.messages.get(user, question)),
    ):
        with pytest.raises(GroundupError, match="2 of your answers are being written"):
            await again
    other = kept.accounts.add("other", "hash", "member").id
    await answers.ask(other, kept.conversations.create(other).id, "mine", None)


async def test_one_answer_at_a_time_in_a_branch(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    head = kept.messages.path(user, chat.id)[-1].id
    with pytest.raises(GroundupError, match="being written"):
        await answers.ask(user, chat.id, "And?", head)
    await answers.ask(user, chat.id, "Hello", None)  # another branch may
    assert len(kept.messages.tree(user, chat.id)) == 4


async def test_two_tabs_at_the_same_moment(
    answers: Answers, kept: Store, user: str, chat: Conversation
) -> None:
    asked = await asyncio.gather(
        *(answers.ask(user, chat.id, "Hi", None) for _ in range(2)), return_exceptions=True
    )
    assert [type(each) for each in asked].count(GroundupError) == 1
    assert len(kept.messages.tree(user, chat.id)) == 2


async def test_a_conversation_that_is_deleted_meanwhile(
    answers: Answers,
    kept: Store,
    user: str,
    chat: Conversation,
    model: ScriptedModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model.pause.clear()
    await answers.ask(user, chat.id, "Hi", None)
    await until(lambda: bool(model.requests))  # it has read the conversation
    kept.conversations.delete(user, chat.id)
    await asyncio.sleep(1.2 * module.KEEP_INTERVAL)  # it is written meanwhile
    answers.stop_in("another")
    assert answers.conversations() == {chat.id}
    answers.stop_in(chat.id)
    await until(lambda: not answers.conversations())
    assert not caplog.records


async def test_old_messages_are_left_out_where_they_do_not_fit(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    parent = None
    for i in range(20):
        added = kept.messages.add(
            user,
            chat.id,
            parent=parent,
            role="assistant" if i % 2 else "user",
            content=f"{i:02}" * 5,
        )
        parent = added.id
    model.context = 45
    await answers.ask(user, chat.id, "0123456789", parent)
    answer = await finished(answers, kept, user, chat)
    assert answer.state == "complete"
    sent = [message["content"][:2] for message in model.requests[-1]["messages"]]
    assert sent == ["18", "19", "01"]
    assert answer.error == "the oldest 18 messages did not fit the model and were left out"
    model.context = 5
    await answers.ask(user, chat.id, "0123456789", answer.id)
    failed = await finished(answers, kept, user, chat)
    assert (failed.state, failed.error) == ("failed", "the model refused to answer: it is too long")


async def test_no_more_is_sent_than_a_model_could_read(
    answers: Answers,
    kept: Store,
    user: str,
    chat: Conversation,
    model: ScriptedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_PROMPT", 25)
    add = kept.messages.add
    first = add(user, chat.id, parent=None, role="user", content="a" * 10)
    second = add(user, chat.id, parent=first.id, role="assistant", content="b" * 10)
    await answers.ask(user, chat.id, "c" * 10, second.id)
    await finished(answers, kept, user, chat)
    # The answer would fit, but a conversation begins with a user's message.
    assert [m["content"][0] for m in model.requests[0]["messages"]] == ["c"]


async def test_empty_answers_are_not_sent(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    model.error = (503, "no")
    await answers.ask(user, chat.id, "Hi", None)
    failed = await finished(answers, kept, user, chat)
    model.error = None
    await answers.ask(user, chat.id, "And now?", failed.id)
    answer = await finished(answers, kept, user, chat)
    assert [m["content"] for m in model.requests[-1]["messages"]] == ["Hi", "And now?"]
    assert answer.error == ""  # nothing was left out


async def test_another_user_has_no_part_in_it(
    answers: Answers, kept: Store, chat: Conversation
) -> None:
    other = kept.accounts.add("bob", "hash", "member").id
    with pytest.raises(GroundupError, match="no such conversation"):
        await answers.ask(other, chat.id, "Hi", None)
    assert not answers.conversations()


async def test_fifty_at_once(
    answers: Answers, kept: Store, user: str, model: ScriptedModel
) -> None:
    model.pieces = ["word "] * 30
    chats = [kept.conversations.create(user, model="m") for _ in range(50)]
    shown: dict[str, list[str]] = {chat.id: [] for chat in chats}

    def listen(chat: Conversation) -> None:
        def hear(event: Progress | Changed) -> None:
            if isinstance(event, Progress):
                shown[chat.id][event.first :] = event.blocks

        answers.changes.listen(chat.id, hear)

    for chat in chats:
        listen(chat)
    await asyncio.gather(*(answers.ask(user, chat.id, "Hi", None) for chat in chats))
    async with asyncio.timeout(60):
        await until(lambda: not answers.conversations())
    for chat in chats:
        assert kept.messages.path(user, chat.id)[-1].content == "word " * 30
        assert shown[chat.id]


async def test_probabilities_are_asked_for_while_somebody_looks(
    answers: Answers, kept: Store, user: str, chat: Conversation, model: ScriptedModel
) -> None:
    """Of local models alone, and of that user's answers."""
    end = answers.watch(user)
    await answers.ask(user, chat.id, "Hi", None)
    answer = await finished(answers, kept, user, chat)
    model.endpoint = replace(model.endpoint, local=True)
    model.pause.clear()
    await answers.ask(user, chat.id, "Again", answer.id)
    running = kept.messages.path(user, chat.id)[-1].id
    await until(lambda: answers.chances(running))
    assert answers.chances(running) == [
        TokenChance("Hello", -0.5, (("Hello", -0.5), ("other", -1.5)))
    ]
    model.pause.set()
    answer = await finished(answers, kept, user, chat)
    assert answers.chances(running) is None
    end()
    await answers.ask(user, chat.id, "Once more", answer.id)
    await finished(answers, kept, user, chat)
    assert [request.get("top_logprobs") for request in model.requests] == [None, 8, None]
    assert [request.get("logprobs") for request in model.requests] == [None, True, None]
