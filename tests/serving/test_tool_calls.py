"""Calls in a model's text, cut into pieces at any place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.serving.tool_calls import (
    Arguments,
    ArrayOfCalls,
    Call,
    CallParser,
    HermesCalls,
    NamedCall,
)

Parsed = tuple[str, list[tuple[str, str]]]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "}</x>"}}\n</tool_call>'
ADD = ("add", '{"a": 1, "b": "}</x>"}')


def parsed(parser: CallParser, pieces: list[str]) -> Parsed:
    text = ""
    calls: list[tuple[str, str]] = []
    events = [event for piece in pieces for event in parser.push(piece)] + parser.finish()
    for event in events:
        if isinstance(event, str):
            text += event
        elif isinstance(event, Call):
            assert event.index == len(calls)
            assert event.id.startswith("call_")
            calls.append((event.name, ""))
        else:
            calls[event.index] = (calls[event.index][0], calls[event.index][1] + event.json)
    assert parser.calls == len(calls)
    return text, calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no call, a < b <tool", ("no call, a < b <tool", [])),
        (CALL, ("", [ADD])),
        (f"First this. \n{CALL}\n {CALL}\n", ("First this.", [ADD, ADD])),
        (f"{CALL}\nand this", ("\nand this", [ADD])),
        # The end of the turn closes the last call.
        (CALL.removesuffix("</tool_call>"), ("", [ADD])),
        # What is no call stays as it was written.
        ("<tool_call>nonsense</tool_call>!", ("<tool_call>nonsense</tool_call>!", [])),
        (
            '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
            ('<tool_call>{"name": "other", "arguments": {}}</tool_call>', []),
        ),
        (
            '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
            ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>', []),
        ),
        ("<tool_call>{", ("<tool_call>{", [])),
        ("  ends with space ", ("  ends with space ", [])),
    ],
)
def test_hermes_calls_whatever_the_pieces(text: str, expected: Parsed) -> None:
    for size in (1, 2, 3, 5, 7, 11, len(text)):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert parsed(HermesCalls({"add"}, parallel=True), pieces) == expected


@given(st.lists(st.sampled_from(["<", "tool_call", ">", "</", "{", "}", " ", "x", CALL])))
def test_no_text_is_lost(parts: list[str]) -> None:
    """Whatever is not a call, and not space around one, comes out."""
    text, calls = parsed(HermesCalls({"add"}, parallel=True), parts)
    kept = "".join("".join(parts).replace(CALL, "").split())
    if all(part in (" ", "x", CALL) for part in parts):
        assert "".join(text.split()) == kept
        assert len(calls) == parts.count(CALL)
    if CALL not in parts:
        assert text == "".join(parts) or calls


def test_text_before_a_call_is_shown_before_the_call_is_complete() -> None:
    parser = HermesCalls({"add"}, parallel=True)
    assert parser.push("I add. <tool_c") == ["I add."]
    assert parser.push("all>{") == []


def test_without_parallel_calls_the_first_ends_the_answer() -> None:
    parser = HermesCalls({"add"}, parallel=False)
    assert parsed(parser, [CALL + CALL + "more"]) == ("", [ADD])
    assert parser.done


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(["f", "g"]),
                "arguments": st.dictionaries(
                    st.text('a"\\{}[]', max_size=3), st.text('a"\\{}', max_size=4), max_size=2
                ),
            }
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 9),
    st.sampled_from([None, 2]),
)
def test_arrays_of_calls(calls: list[dict[str, object]], size: int, indent: int | None) -> None:
    text = json.dumps(calls, indent=indent)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    shown, found = parsed(ArrayOfCalls(), pieces)
    assert shown == ""
    assert [(name, json.loads(a)) for name, a in found] == [
        (call["name"], call["arguments"]) for call in calls
    ]


def test_a_call_that_was_cut_off_is_not_given() -> None:
    text = '[{"name": "f", "arguments": {}}, {"name": "g", "argu'
    assert parsed(ArrayOfCalls(), [text]) == ("", [("f", "{}")])


def test_a_named_call_is_its_arguments() -> None:
    parser = NamedCall("f")
    assert parsed(parser, ["", '{"a"', ":1}"]) == ("", [("f", '{"a":1}')])
    assert parser.push("x") == [Arguments(0, "x")]
