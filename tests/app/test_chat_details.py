"""The small things of a chat: titles, options, exports, the answer's path, who is told."""

import json
from typing import Any

import pytest

from groundup.app.answer_path import ANSWER_PATH, own_parts
from groundup.app.changes import Changes
from groundup.app.conversation_export import as_json, as_markdown, file_name
from groundup.app.conversation_title import title_of
from groundup.app.model_choice import short_name
from groundup.app.sampling_options import SAMPLING_OPTIONS, checked_sampling
from groundup.app.store.conversations import Conversation
from groundup.app.store.messages import Message
from groundup.course.parts.table import PARTS
from groundup.errors import GroundupError
from groundup.serving.chat_schema import ChatRequest


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("what is attention?", "What is attention?"),
        ("\n\n# **Fix** `this`\nmore", "Fix this"),
        ("- one\n- two", "One"),
        ("```python\nx = 1\n```", "X = 1"),
        ("word " * 20, ("Word" + " word" * 10) + "…"),
        ("x" * 100, "X" + "x" * 58 + "…"),
        ("***", "New conversation"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_titles(question: str, title: str) -> None:
    assert title_of(question) == title
    assert len(title_of(question)) <= 60


def test_options_are_those_of_the_server() -> None:
    """Each bound is taken by the server's own schema, and what lies beyond is refused here."""
    import msgspec

    for option in SAMPLING_OPTIONS:
        for value in (option.low, option.high, option.start):
            sampling = checked_sampling({option.name: value})
            body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **sampling}
            msgspec.convert(body, ChatRequest)
        for value in (option.low - 1, option.high + 1):
            with pytest.raises(GroundupError, match=option.label):
                checked_sampling({option.name: value})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 1.5}, "whole number from 0"),
        ({"temperature": "hot"}, "is a number, got 'hot'"),
        ({"temperature": True}, "is a number"),
        ({"temperature": float("nan")}, "is a number"),
        ({"logit_bias": 1}, "no sampling option"),
    ],
)
def test_options_that_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(GroundupError, match=said):
        checked_sampling(given)


def test_whole_options_stay_whole() -> None:
    [value] = checked_sampling({"seed": 7.0}).values()
    assert isinstance(value, int)


CONVERSATION = Conversation("c", "Über <x>/..", None, "m", "Be kind.\nBe short.", {}, "b", 0, 0)
QUESTION = Message("a", "c", None, "user", "Hi", "complete", "", "", None, None, [], 0, ("a",))
ANSWER = Message("b", "c", "a", "assistant", "Hel", "stopped", "", "m", 3, 1.0, [], 1, ("b", "d"))
OTHER = Message("d", "c", "a", "assistant", "Hello", "complete", "", "m", 3, 1.0, [], 2, ("b", "d"))


def test_export_as_markdown() -> None:
    assert as_markdown(CONVERSATION, [QUESTION, ANSWER]) == (
        "# Über <x>/..\n\n*1970-01-01 · m*\n\n> Be kind.\n> Be short.\n\n## You\n\nHi\n\n"
        "## Answer\n\nHel\n\n*(stopped)*\n"
    )


def test_export_as_json_has_all_branches() -> None:
    whole = json.loads(as_json(CONVERSATION, [QUESTION, ANSWER, OTHER], {"d": 1}))
    assert whole["conversation"]["system"] == "Be kind.\nBe short."
    assert [(m["id"], m["parent_id"], m["rating"]) for m in whole["messages"]] == [
        ("a", None, None), ("b", "a", None), ("d", "a", 1),
    ]  # fmt: skip


def test_names_of_files() -> None:
    assert file_name(CONVERSATION, "md") == "über-x.md"
    assert file_name(Conversation("c", "../..", None, "", "", {}, None, 0, 0), "json") == (
        "conversation.json"
    )


def test_the_answers_path_is_of_parts() -> None:
    assert ANSWER_PATH.keys() <= PARTS.keys()
    assert own_parts({"sampling", "attention", "token-bucket"}) == ["attention", "sampling"]


def test_models() -> None:
    assert short_name("/x/y.gguf") == "y"
    assert short_name("owner/name") == "name"
    assert short_name("smollm2-135m-instruct") == "smollm2-135m-instruct"


def test_who_is_told() -> None:
    changes: Changes[int] = Changes()
    heard: list[tuple[str, int]] = []
    first = changes.listen("a", lambda event: heard.append(("first", event)))
    changes.listen("a", lambda event: heard.append(("second", event)))
    changes.tell("a", 1)
    changes.tell("b", 2)
    first()
    first()  # twice does no harm
    changes.tell("a", 3)
    assert heard == [("first", 1), ("second", 1), ("second", 3)]
    assert changes.heard("a")
    assert not changes.heard("b")


def test_one_who_leaves_while_being_told() -> None:
    changes: Changes[int] = Changes()
    heard: list[int] = []
    ends = [changes.listen("a", lambda _: ends[0]()), changes.listen("a", heard.append)]
    changes.tell("a", 1)
    assert heard == [1]
