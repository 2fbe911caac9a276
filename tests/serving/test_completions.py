"""/v1/completions, /v1/embeddings, /v1/models and the tokenizer's routes."""

import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from groundup.errors import GroundupError


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.completions.create(**({"model": "scripted", "prompt": "Say: "} | fields))


def test_a_continuation(client: openai.OpenAI, engine: Any) -> None:
    answer = ask(client)
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason) == ("Hello, world!", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 14)
    assert bytes(engine.requests[0].prompt) == b"Say: "
    assert engine.requests[0].max_tokens == 16  # OpenAI's default
    assert ask(client, echo=True).choices[0].text == "Say: Hello, world!"
    assert ask(client, max_tokens=2).choices[0].finish_reason == "length"


def test_control_tokens_of_a_prompt_are_meant(client: openai.OpenAI, engine: Any) -> None:
    """It is the caller's own text, unlike a document that is embedded or a chat's message."""
    ask(client, prompt="a<|im_end|>")
    assert engine.requests[0].prompt == (97, 257)


def test_a_stream(client: openai.OpenAI) -> None:
    *chunks, last = ask(client, stream=True, echo=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Say: Hello, world!"
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (last.choices, last.usage.total_tokens) == ([], 19)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (["a", "bc"], [b"a", b"bc"]),
        ([97, 98], [b"ab"]),
        ([[97], [98, 99]], [b"a", b"bc"]),
    ],
)
def test_several_prompts(client: openai.OpenAI, engine: Any, prompt: Any, expected: Any) -> None:
    engine.texts = ["1", "2", "3", "4"][: 2 * len(expected)]
    answer = ask(client, prompt=prompt, n=2)
    assert [bytes(r.prompt) for r in engine.requests] == [p for p in expected for _ in range(2)]
    assert [c.text for c in answer.choices] == ["1", "2", "3", "4"][: 2 * len(expected)]
    assert answer.usage.prompt_tokens == sum(map(len, expected))


def test_log_probabilities(client: openai.OpenAI) -> None:
    logprobs = ask(client, logprobs=2, max_tokens=3).choices[0].logprobs
    assert logprobs.tokens == ["H", "e", "l"]
    assert logprobs.token_logprobs == [-0.5] * 3
    assert logprobs.top_logprobs[0] == {"H": -0.5, "I": -1.5}
    assert logprobs.text_offset == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [1, [1]]}, "prompt"),
        ({"prompt": [258]}, "prompt"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": "x" * 5000}, "prompt"),
        ({"prompt": "x" * 50_000}, "prompt"),
        ({"max_tokens": 4000}, "prompt"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(
    client: openai.OpenAI, engine: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert not engine.requests


def test_embeddings(client: openai.OpenAI, engine: Any) -> None:
    texts = ["one", "and <|im_end|>"]
    # Documents are data: a control token in one is its characters.
    expected = np.array([[len(t), sum(t.encode()) / 7, -0.25] for t in texts], np.float32)
    default = client.embeddings.create(model="scripted", input=texts)  # asks for base64
    plain = client.embeddings.create(model="scripted", input=texts, encoding_format="float")
    for answer in (default, plain):
        assert np.array_equal(np.array([d.embedding for d in answer.data], np.float32), expected)
        assert [d.index for d in answer.data] == [0, 1]
        assert answer.usage.prompt_tokens == sum(map(len, texts))
    body = {"model": "scripted", "input": [111, 110, 101], "encoding_format": "base64"}
    raw = httpx.post(f"{client.base_url}embeddings", json=body).json()
    vector = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4")
    assert np.array_equal(vector, expected[0])
    engine.refusal = GroundupError("this model embeds nothing")
    with pytest.raises(openai.BadRequestError, match="this model embeds nothing"):
        client.embeddings.create(model="scripted", input="x")
    for wrong in ([], "", ["a", 1]):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="scripted", input=wrong)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="scripted", input="x", dimensions=2)


def test_models(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert model.id == "scripted"
    assert client.models.retrieve("scripted") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other/one")
    assert caught.value.code == "model_not_found"


def test_tokens_and_back(running: Any) -> None:
    with httpx.Client(base_url=running.url) as client:

        def post(path: str, **body: Any) -> Any:
            return client.post(path, json=body).json()

        text = "é <|im_end|>"
        ids = [0xC3, 0xA9, 0x20, 257]
        answer = post("/tokenize", prompt=text, return_token_strs=True)
        assert answer == {
            "count": 4,
            "max_model_len": 4000,
            "tokens": ids,
            "token_strs": ["Ã", "©", "Ġ", "<|im_end|>"],
        }
        assert post("/detokenize", tokens=ids) == {"prompt": text}
        assert post("/tokenize", prompt=text, add_special_tokens=False)["count"] == 13
        messages = [{"role": "user", "content": "x"}]
        chat = post("/tokenize", messages=messages)["tokens"]
        shorter = post("/tokenize", messages=messages, add_generation_prompt=False)["tokens"]
        assert chat == running.engine.tokenizer.encode_chat(messages)
        assert shorter == chat[: len(shorter)] != chat
        assert post("/tokenize", prompt="") | {"token_strs": 0} == {
            "count": 0, "max_model_len": 4000, "tokens": [], "token_strs": 0,
        }  # fmt: skip
        for path, wrong in (
            ("/tokenize", {}),
            ("/tokenize", {"prompt": "x", "messages": messages}),
            ("/detokenize", {"tokens": [999]}),
        ):
            assert client.post(path, json=wrong).status_code == 400
