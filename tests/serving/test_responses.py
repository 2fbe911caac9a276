"""/v1/responses with OpenAI's own client."""

import json
from typing import Any

import openai
import pytest

ADD: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
CALL = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.responses.create(**({"model": "scripted", "input": "hi"} | fields))


def shown(request: Any) -> str:
    return bytes(i for i in request.prompt if i < 256).decode()


def test_a_response(client: openai.OpenAI, engine: Any) -> None:
    response = ask(
        client, instructions="Be brief.", temperature=0, top_p=0.5, metadata={"a": "b"}, user="u"
    )
    assert response.output_text == "Hello, world!"
    assert (response.status, response.incomplete_details, response.error) == (
        "completed", None, None,
    )  # fmt: skip
    assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
    usage = response.usage
    assert usage.output_tokens == 14
    assert usage.total_tokens == usage.input_tokens + 14
    [request] = engine.requests
    assert shown(request) == "system\nBe brief.\nuser\nhi\nassistant\n"
    assert (request.params.temperature, request.params.top_p) == (0, 0.5)


def test_the_events_of_a_text(client: openai.OpenAI, engine: Any) -> None:
    engine.text = "a é"
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type.removeprefix("response.") for event in events]
    assert names == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    assert events[0].response.status == "in_progress"
    assert events[0].response.output == []
    assert events[2].item.status == "in_progress"
    assert events[2].item.content == []
    assert events[3].part.text == ""
    assert "".join(event.delta for event in events[4:7]) == "a é"
    assert events[7].text == events[8].part.text == "a é"
    assert events[9].item.status == "completed"
    assert len({event.item_id for event in events[3:9]}) == 1
    final = events[-1].response
    assert (final.status, final.output_text, final.usage.output_tokens) == ("completed", "a é", 5)
    assert final.output == [events[9].item]


def test_the_events_of_calls(client: openai.OpenAI, engine: Any) -> None:
    engine.text = f"Adding. {CALL}{CALL}"
    events = list(ask(client, stream=True, tools=[ADD]))
    names = [event.type.removeprefix("response.") for event in events]
    call = [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done",
    ]  # fmt: skip
    deltas = names.count("output_text.delta")
    assert names == [
        "created", "in_progress", "output_item.added", "content_part.added",
        *["output_text.delta"] * deltas,
        "output_text.done", "content_part.done", "output_item.done", *call, *call, "completed",
    ]  # fmt: skip
    text, first, second = events[-1].response.output
    assert text.content[0].text == "Adding."
    for i, item in ((1, first), (2, second)):
        assert (item.type, item.name, item.arguments) == ("function_call", "add", '{"a": 1}')
        assert item.status == "completed"
        of_item = [e for e in events if getattr(e, "output_index", 0) == i]
        assert len(of_item) == 4
        assert of_item[2].arguments == '{"a": 1}'
    assert first.call_id != second.call_id


def test_a_conversation_with_calls(client: openai.OpenAI, engine: Any) -> None:
    engine.text = f"Adding. {CALL}"
    first = ask(client, tools=[ADD])
    result = {
        "type": "function_call_output",
        "call_id": first.output[1].call_id,
        "output": "2",
    }
    ask(client, tools=[ADD], input=[{"role": "user", "content": "hi"}, *first.output, result])
    assert shown(engine.requests[1]).endswith(
        "user\nhi\n"
        'assistant\nAdding.\n<tool_call>\n{"name":"add","arguments":{"a":1}}\n</tool_call>\n'
        'user\n<tool_response>\n{"name":"add","content":"2"}\n</tool_response>\nassistant\n'
    )


def test_choices_of_tools(client: openai.OpenAI, engine: Any) -> None:
    engine.text = '{"a": 1}'
    named = ask(client, tools=[ADD], tool_choice={"type": "function", "name": "add"})
    assert (named.output[0].type, named.output[0].arguments) == ("function_call", '{"a": 1}')
    assert json.loads(engine.requests[0].constraint.definition) == ADD["parameters"]
    engine.text = CALL
    assert ask(client, tools=[ADD], tool_choice="none").output_text == CALL


def test_the_form_of_the_text(client: openai.OpenAI, engine: Any) -> None:
    schema = {"type": "object", "properties": {}}
    ask(client, text={"format": {"type": "json_schema", "name": "x", "schema": schema}})
    ask(client, text={"format": {"type": "json_object"}})
    first, second = (request.constraint for request in engine.requests)
    assert (first.kind, json.loads(first.definition)) == ("json_schema", schema)
    assert second.kind == "json_object"


def test_an_answer_that_was_cut_off(client: openai.OpenAI) -> None:
    response = ask(client, max_output_tokens=5)
    assert (response.status, response.output_text) == ("incomplete", "Hello")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"
    assert [*ask(client, max_output_tokens=5, stream=True)][-1].type == "response.incomplete"


def test_an_empty_answer(client: openai.OpenAI, engine: Any) -> None:
    engine.text = ""
    response = ask(client)
    assert (response.status, response.output_text) == ("completed", "")
    assert response.output[0].content[0].text == ""


def test_a_failure_within_a_stream(client: openai.OpenAI, engine: Any) -> None:
    engine.failure, engine.failure_after = RuntimeError("a secret"), 3
    *events, last = ask(client, stream=True)
    assert last.type == "error"
    assert last.sequence_number == len(events)
    assert "secret" not in last.message
    with pytest.raises(openai.InternalServerError):
        ask(client)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"input": []}, "input"),
        ({"input": [{"type": "reasoning"}]}, "input[0].type"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": "x", "name": "y"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "name": "x", "call_id": "y"}]}, "input[0].arguments"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 3999}, "input"),
        ({"input": "x" * 4000}, "input"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_refused(
    client: openai.OpenAI, engine: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert not engine.requests
