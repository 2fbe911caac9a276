"""Tools: what the model is shown, what its calls become, which form is asked of the engine."""

import json
from typing import Any

import jsonschema
import openai
import pytest

from groundup.serving.tools import ToolChoice, ToolFunction, tool_constraint

HELLO: Any = [{"role": "user", "content": "hi"}]
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
CALL = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
TAKES_TOOLS = (
    "{% if tools %}<|im_start|>tools {{ tools | tojson }}<|im_end|>{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments.a }}]"
    "{% endfor %}<|im_end|>{% endfor %}"
)


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(
        **({"model": "scripted", "messages": HELLO, "tools": [ADD, NOW]} | fields)
    )


def shown(request: Any) -> str:
    return bytes(i for i in request.prompt if i < 256).decode()


def streamed_calls(chunks: Any) -> tuple[str, list[list[str]], str]:
    text, reason = "", ""
    calls: list[list[str]] = []
    for chunk in chunks:
        [choice] = chunk.choices
        text += choice.delta.content or ""
        reason = choice.finish_reason or reason
        for call in choice.delta.tool_calls or ():
            if call.id:
                assert call.type == "function"
                assert call.index == len(calls)
                calls.append([call.function.name, ""])
            calls[call.index][1] += call.function.arguments
    return text, calls, reason


def test_a_call_among_text(client: openai.OpenAI, engine: Any) -> None:
    engine.text = f"I add.\n{CALL}\n{CALL}"
    [choice] = ask(client).choices
    assert choice.message.content == "I add."
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [(c.type, c.function.name, c.function.arguments) for c in calls] == [
        ("function", "add", '{"a": 1}')
    ] * 2
    assert len({call.id for call in calls}) == 2
    text, streamed, reason = streamed_calls(ask(client, stream=True))
    assert (text, reason) == ("I add.", "tool_calls")
    assert streamed == [["add", '{"a": 1}']] * 2


def test_calls_alone_have_no_content(client: openai.OpenAI, engine: Any) -> None:
    engine.text = CALL
    assert ask(client).choices[0].message.content is None


def test_text_comes_before_its_call_is_complete(client: openai.OpenAI, engine: Any) -> None:
    engine.text = f"I add. {CALL}"
    engine.hang_after = 20  # within the tag
    with ask(client, stream=True) as chunks:
        text = ""
        while "I add." not in text:
            text += next(iter(chunks)).choices[0].delta.content or ""


def test_a_single_call_ends_the_answer(client: openai.OpenAI, engine: Any, wait_until: Any) -> None:
    engine.text = CALL + CALL
    engine.hang_after = len(CALL)
    [choice] = ask(client, parallel_tool_calls=False).choices
    assert (len(choice.message.tool_calls), choice.finish_reason) == (1, "tool_calls")
    chunks = ask(client, parallel_tool_calls=False, stream=True)
    assert streamed_calls(chunks) == ("", [["add", '{"a": 1}']], "tool_calls")
    wait_until(lambda: (engine.open, engine.closed) == (0, 2))


def test_no_choice_shows_no_tools(client: openai.OpenAI, engine: Any) -> None:
    engine.text = CALL
    [choice] = ask(client, tool_choice="none").choices
    assert (choice.message.content, choice.finish_reason) == (CALL, "stop")
    assert "add" not in shown(engine.requests[0])


def test_tools_are_described_where_the_template_knows_none(
    client: openai.OpenAI, engine: Any
) -> None:
    ask(client)
    ask(client, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    first, second = map(shown, engine.requests)
    assert json.dumps(ADD, separators=(",", ":")) in first
    assert "<tool_call>" in first
    assert second.startswith("system\nBe brief.\n\n")
    assert second.count("system\n") == 1


def test_calls_and_results_go_back(client: openai.OpenAI, engine: Any) -> None:
    engine.text = CALL
    message = ask(client).choices[0].message
    engine.text = "2"
    [call] = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "</tool_response> 2"}
    ask(client, messages=[*HELLO, message, result, result])
    answer = '<tool_response>\n{"name":"add","content":"<\\/tool_response> 2"}\n</tool_response>'
    assert shown(engine.requests[-1]).endswith(
        'assistant\n<tool_call>\n{"name":"add","arguments":{"a":1}}\n</tool_call>\n'
        f"user\n{answer}\n{answer}\nassistant\n"
    )


def test_a_template_that_takes_tools(run_server: Any, new_engine: Any) -> None:
    engine = new_engine(template=TAKES_TOOLS)
    with (
        run_server(engine) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):
        engine.text = CALL
        message = ask(client).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "2"}
        ask(client, messages=[*HELLO, message, result])
    first, second = map(shown, engine.requests)
    assert first.startswith('tools [{"type": "function", "function": {"name": "add"')
    assert first.endswith("user hi")
    assert second.endswith("user hiassistant [add 1]tool 2")


def test_required_asks_for_an_array_of_calls(client: openai.OpenAI, engine: Any) -> None:
    engine.text = '[{"name": "now", "arguments": {}}, {"name": "add", "arguments": {"a": 3}}]'
    [choice] = ask(client, tool_choice="required").choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert [(c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
        ("now", "{}"),
        ("add", '{"a": 3}'),
    ]
    text, calls, reason = streamed_calls(ask(client, tool_choice="required", stream=True))
    assert (text, calls, reason) == ("", [["now", "{}"], ["add", '{"a": 3}']], "tool_calls")
    constraint = engine.requests[0].constraint
    assert constraint.kind == "json_schema"
    schema = json.loads(constraint.definition)
    jsonschema.validate(json.loads(engine.text), schema)
    for wrong in ("[]", '[{"name": "add", "arguments": {}}]', '[{"name": "x", "arguments": {}}]'):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(wrong), schema)
    ask(client, tool_choice="required", parallel_tool_calls=False)
    schema = json.loads(engine.requests[-1].constraint.definition)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(engine.text), schema)


def test_a_named_tool_asks_for_its_arguments(client: openai.OpenAI, engine: Any) -> None:
    engine.text = '{"a": 4}'
    choice = {"type": "function", "function": {"name": "add"}}
    [answer] = ask(client, tool_choice=choice).choices
    assert answer.finish_reason == "tool_calls"
    [call] = answer.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 4}')
    chunks = list(ask(client, tool_choice=choice, stream=True))
    assert streamed_calls(chunks) == ("", [["add", '{"a": 4}']], "tool_calls")
    assert len(chunks) > 8  # the arguments come as they are made
    parameters = json.loads(engine.requests[0].constraint.definition)
    assert parameters == ADD["function"]["parameters"]  # type: ignore[index]
    [cut] = ask(client, tool_choice=choice, max_tokens=3).choices
    assert cut.finish_reason == "length"


def test_definitions_of_parameters_are_found_in_the_whole_schema() -> None:
    """As pydantic writes them: by reference, each tool with its own of the same name."""

    def tool(name: str, kind: str, place: str) -> ToolFunction:
        reference = {"$ref": f"#/{place}/Item"}
        return ToolFunction(
            name,
            parameters={
                "type": "object",
                "properties": {"items": {"type": "array", "items": reference}},
                place: {"Item": {"type": kind}},
            },
        )

    tools = [tool("f", "integer", "$defs"), tool("g", "string", "definitions")]
    constraint = tool_constraint(tools, ToolChoice("required"), parallel=True)
    schema = json.loads(constraint.definition)
    jsonschema.validate([{"name": "f", "arguments": {"items": [1]}}], schema)
    jsonschema.validate([{"name": "g", "arguments": {"items": ["x"]}}], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([{"name": "f", "arguments": {"items": ["x"]}}], schema)
    assert "$defs" in tools[0].parameters  # type: ignore[operator]  # the request is as it was


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [ADD, ADD]}, "tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "sub"}}}, "tool_choice"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_is_refused(
    client: openai.OpenAI, engine: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert not engine.requests
