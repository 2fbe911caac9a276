"""/v1/chat/completions with OpenAI's own client, over a scripted engine."""

import json
from typing import Any

import openai
import pytest

from groundup.engine.request import Constraint
from groundup.errors import GroundupError

HELLO: Any = [{"role": "user", "content": "hi"}]


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**({"model": "scripted", "messages": HELLO} | fields))


def refused(client: openai.OpenAI, **fields: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **fields)
    return caught.value


def streamed(chunks: Any) -> tuple[dict[int, str], dict[int, str]]:
    """The text and the finish reason of each answer."""
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            assert choice.index not in reasons, "a chunk after the end"
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    return texts, reasons


def test_an_answer(client: openai.OpenAI, engine: Any) -> None:
    answer = ask(client)
    [choice] = answer.choices
    assert choice.message.content == "Hello, world!"
    assert choice.message.role == "assistant"
    assert choice.message.tool_calls is None
    assert (choice.finish_reason, choice.index, choice.logprobs) == ("stop", 0, None)
    assert (answer.model, answer.object) == ("scripted", "chat.completion")
    prompt = engine.tokenizer.encode_chat(HELLO)
    assert answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.completion_tokens == len("Hello, world!") + 1
    assert answer.usage.total_tokens == len(prompt) + len("Hello, world!") + 1
    [request] = engine.requests
    assert list(request.prompt) == prompt
    assert request.stop_ids == engine.tokenizer.eos_ids
    assert (request.max_tokens, request.logprobs, request.constraint) == (None, None, None)
    assert request.params.temperature == 1.0  # OpenAI's default, not the engine's


def test_every_field_reaches_the_engine(client: openai.OpenAI, engine: Any) -> None:
    ask(
        client,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=-1.5,
        frequency_penalty=0.5,
        logit_bias={"7": -100, "8": 3},
        seed=-1,
        max_completion_tokens=4,
        user="someone",
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2, "ignore_eos": True},
    )
    [request] = engine.requests
    params = request.params
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.5, 0.9, 5, 0.1)
    assert (params.presence_penalty, params.frequency_penalty) == (-1.5, 0.5)
    assert (params.repetition_penalty, params.seed) == (1.2, 2**64 - 1)
    assert params.logit_bias == ((7, -100.0), (8, 3.0))
    assert request.max_tokens == 4
    assert request.stop_ids == frozenset()


def test_all_roles_and_parts(client: openai.OpenAI, engine: Any) -> None:
    ask(
        client,
        messages=[
            {"role": "developer", "content": "D"},
            {"role": "system", "content": [{"type": "text", "text": "S"}]},
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("a", "b")]},
            {"role": "assistant", "content": None, "refusal": "no"},
            {"role": "user", "content": "<|im_end|>"},
        ],
    )
    [request] = engine.requests
    shown = "".join(chr(i) if i < 256 else "|" for i in request.prompt)
    assert shown == (
        "|system\nD|\n|system\nS|\n|user\nab|\n|assistant\nno|\n|user\n<|im_end|>|\n|assistant\n"
    )


def test_a_stream(client: openai.OpenAI, engine: Any) -> None:
    engine.text = "Grüße 🙂!"  # characters of several tokens
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert streamed(chunks) == ({0: "Grüße 🙂!"}, {0: "stop"})
    assert not any("\ufffd" in (c.choices[0].delta.content or "") for c in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    *before, last = chunks
    assert all(chunk.usage is None for chunk in before)
    assert last.choices == []
    assert last.usage.completion_tokens == len("Grüße 🙂!".encode()) + 1
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.usage is None for chunk in ask(client, stream=True))


async def test_the_asynchronous_client(running: Any) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{running.url}/v1", api_key="none", max_retries=0
    ) as client:
        chunks = await client.chat.completions.create(model="scripted", messages=HELLO, stream=True)
        assert streamed([chunk async for chunk in chunks])[0] == {0: "Hello, world!"}
        answer = await client.chat.completions.create(model="scripted", messages=HELLO)
        assert answer.choices[0].message.content == "Hello, world!"


def test_bytes_that_are_no_text(client: openai.OpenAI, engine: Any) -> None:
    engine.text = b"a\xff\xf0\x9f"
    assert ask(client).choices[0].message.content == "a\ufffd\ufffd"
    assert streamed(ask(client, stream=True))[0] == {0: "a\ufffd\ufffd"}


@pytest.mark.parametrize("per_step", [1, 4, 100])
@pytest.mark.parametrize(
    ("stop", "expected", "reason"),
    [
        ("wor", "Hello, ", "stop"),
        (["xyz", "d!", "ld"], "Hello, wor", "stop"),
        ("world?", "Hello, world!", "stop"),
        (["H"], "", "stop"),
        ([], "Hello, world!", "stop"),
    ],
)
def test_stop_strings_across_tokens(
    client: openai.OpenAI, engine: Any, wait_until: Any, per_step: int, stop: Any, expected: str,
    reason: str,
) -> None:  # fmt: skip
    engine.tokens_per_step = per_step
    answer = ask(client, stop=stop).choices[0]
    assert (answer.message.content, answer.finish_reason) == (expected, reason)
    assert streamed(ask(client, stop=stop, stream=True)) == ({0: expected}, {0: reason})
    wait_until(lambda: engine.open == 0 and engine.closed == 2)


def test_a_stop_string_ends_the_work_of_the_engine(client: openai.OpenAI, engine: Any) -> None:
    engine.hang_after = 5  # after "Hello", it would never come back
    assert ask(client, stop="lo").choices[0].message.content == "Hel"
    assert (engine.open, engine.closed) == (0, 1)
    engine.texts = ["Hello", "lo"]
    answers = ask(client, stop="lo", n=2)
    assert [choice.message.content for choice in answers.choices] == ["Hel", ""]
    assert (engine.open, engine.closed) == (0, 3)


def test_the_limit_of_tokens(client: openai.OpenAI) -> None:
    choice = ask(client, max_tokens=5).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")
    assert streamed(ask(client, max_tokens=5, stream=True)) == ({0: "Hello"}, {0: "length"})


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers(client: openai.OpenAI, engine: Any, stream: bool) -> None:
    engine.texts = ["first", "the second one", "3"]
    answer = ask(client, n=3, seed=40, stream=stream)
    if stream:
        texts, reasons = streamed(answer)
        assert texts == {0: "first", 1: "the second one", 2: "3"}
        assert set(reasons.values()) == {"stop"}
    else:
        assert [c.message.content for c in answer.choices] == ["first", "the second one", "3"]
        assert [c.index for c in answer.choices] == [0, 1, 2]
        assert answer.usage.completion_tokens == len("first" + "the second one" + "3") + 3
    assert [request.params.seed for request in engine.requests] == [40, 41, 42]


def test_one_of_several_answers_fails(client: openai.OpenAI, engine: Any, wait_until: Any) -> None:
    engine.failure, engine.failure_after = RuntimeError("planted"), 3
    assert refused(client, n=3).status_code == 500
    wait_until(lambda: engine.open == 0)
    assert engine.closed == 3


def test_log_probabilities(client: openai.OpenAI, engine: Any) -> None:
    engine.text = "aé"
    logprobs = ask(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    # One of each token, the bytes of é apart, and none of the one that ended the answer.
    assert [entry.bytes for entry in logprobs] == [[97], [0xC3], [0xA9]]
    assert [entry.token for entry in logprobs] == ["a", "\ufffd", "\ufffd"]
    assert [entry.logprob for entry in logprobs] == [-0.5] * 3
    assert [(t.token, t.logprob) for t in logprobs[0].top_logprobs] == [("a", -0.5), ("b", -1.5)]
    assert ask(client, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []
    assert engine.requests[-1].logprobs == 0
    chunks = list(ask(client, logprobs=True, top_logprobs=2, stream=True))
    entries = [e for c in chunks if c.choices[0].logprobs for e in c.choices[0].logprobs.content]
    assert entries == logprobs


def test_log_probabilities_end_with_the_text(client: openai.OpenAI) -> None:
    logprobs = ask(client, logprobs=True, stop="wor").choices[0].logprobs.content
    assert "".join(entry.token for entry in logprobs) == "Hello, "


def test_minus_infinity_becomes_a_number(client: openai.OpenAI, engine: Any) -> None:
    original = type(engine).token

    def unlikely(request: Any, i: int, reason: Any = None) -> Any:
        token = original(engine, request, i, reason)
        return type(token)(token.id, float("-inf"), ((1, float("-inf")),), token.finish_reason)

    engine.token = unlikely
    try:
        entry = ask(client, logprobs=True, top_logprobs=1).choices[0].logprobs.content[0]
    finally:
        del engine.token
    assert (entry.logprob, entry.top_logprobs[0].logprob) == (-9999.0, -9999.0)


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def test_structured_output(client: openai.OpenAI, engine: Any) -> None:
    form = {"name": "thing", "schema": SCHEMA, "strict": True}
    ask(client, response_format={"type": "json_schema", "json_schema": form})
    ask(client, response_format={"type": "json_object"})
    ask(client, response_format={"type": "text"})
    schema, anything, none = (request.constraint for request in engine.requests)
    assert schema.kind == "json_schema"
    assert json.loads(schema.definition) == SCHEMA
    assert anything == Constraint("json_object")
    assert none is None


@pytest.mark.parametrize("stream", [False, True])
def test_an_impossible_schema(client: openai.OpenAI, engine: Any, stream: bool) -> None:
    engine.refusal = GroundupError("no JSON fits the schema")
    form = {"name": "thing", "schema": {"type": "no such type"}}
    error = refused(
        client, response_format={"type": "json_schema", "json_schema": form}, stream=stream
    )
    assert error.status_code == 400
    assert error.param == "response_format"
    assert "no JSON fits the schema" in error.message


def test_a_conversation_that_does_not_fit(client: openai.OpenAI, engine: Any) -> None:
    for content in ("x" * 4000, "x" * 40_000, "x" * 400_000):  # the last is not even encoded
        error = refused(client, messages=[{"role": "user", "content": content}], stream=True)
        assert (error.status_code, error.code) == (400, "context_length_exceeded")
        assert error.param == "messages"
    error = refused(client, max_tokens=3990)
    assert (error.status_code, error.code) == (400, "context_length_exceeded")
    assert not engine.requests


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"extra_body": {"suffix": "x"}}, "suffix"),
        ({"service_tier": "auto"}, "service_tier"),
        ({"functions": []}, "functions"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": []}, "messages"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": -2.5}, "frequency_penalty"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": {"258": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"hello": 1}}, "logit_bias"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"extra_body": {"top_k": -2}}, "top_k"),
        ({"extra_body": {"min_p": 1.5}}, "min_p"),
        ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty"),
    ],
    ids=str,
)
def test_what_is_refused(
    client: openai.OpenAI, engine: Any, fields: dict[str, Any], param: str
) -> None:
    error = refused(client, **fields)
    assert isinstance(error, openai.BadRequestError)
    assert error.param == param
    assert error.type == "invalid_request_error"
    assert not engine.requests


def test_an_unknown_model(client: openai.OpenAI) -> None:
    error = refused(client, model="gpt-9")
    assert (error.status_code, error.code, error.param) == (404, "model_not_found", "model")


def test_a_failure_before_and_within_a_stream(client: openai.OpenAI, engine: Any) -> None:
    engine.failure = RuntimeError("a secret")
    for stream in (False, True):
        error = refused(client, stream=stream)
        assert error.status_code == 500
        assert "secret" not in str(error)
    engine.failure_after = 5
    chunks = ask(client, stream=True)
    received: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        received.extend(chunks)
    assert "".join(chunk.choices[0].delta.content for chunk in received) == "Hello"
    assert "secret" not in str(caught.value)
    assert engine.open == 0


def test_an_answer_that_the_engine_cancels(client: openai.OpenAI, engine: Any) -> None:
    engine.last_reason = "cancelled"
    error = refused(client)
    assert error.status_code == 503
    assert error.response.headers["retry-after"]


def test_an_engine_that_is_not_ready(client: openai.OpenAI, engine: Any) -> None:
    engine.is_ready = False
    error = refused(client)
    assert error.status_code == 503
    assert error.response.headers["retry-after"]
