"""LoRA adapters as models: what is listed, what the engine is asked, what is refused."""

from typing import Any

import openai
import pytest

ADAPTERS = {"haiku": "/adapters/haiku", "team/sql": "sql"}


@pytest.fixture
def adapted(engine: Any) -> Any:
    engine.adapters = ADAPTERS
    yield engine
    engine.adapters = {}


def test_adapters_are_listed_beside_their_model(adapted: Any, client: openai.OpenAI) -> None:
    listed = [model.model_dump() for model in client.models.list()]
    assert [(m["id"], m["root"], m["parent"]) for m in listed] == [
        ("scripted", "scripted", None),
        ("haiku", "/adapters/haiku", "scripted"),
        ("team/sql", "sql", "scripted"),
    ]
    one = client.models.retrieve("team/sql").model_dump()
    assert one == listed[2]
    assert one["max_model_len"] == adapted.context


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["haiku", "team/sql", "scripted"])
def test_the_engine_is_asked_for_the_adapter(
    adapted: Any, client: openai.OpenAI, name: str, stream: bool
) -> None:
    def named(answer: Any) -> set[str]:
        chunks = list(answer) if stream else [answer]
        return {getattr(chunk, "response", chunk).model for chunk in chunks}

    ask: Any = client
    message = [{"role": "user", "content": "Hi"}]
    answers = (
        named(ask.chat.completions.create(model=name, messages=message, n=2, stream=stream)),
        named(ask.completions.create(model=name, prompt=["a", "b"], stream=stream)),
    )
    assert answers == ({name}, {name})
    response = ask.responses.create(model=name, input="Hi", stream=stream)
    if stream:
        response = next(e for e in response if e.type == "response.completed").response
    assert response.model == name
    expected = None if name == "scripted" else name
    assert [request.adapter for request in adapted.requests] == [expected] * 5


def test_a_name_that_is_not_served_is_told_which_are(adapted: Any, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="expected 'scripted' or 'haiku' or 'team/sql'"):
        client.completions.create(model="limerick", prompt="x")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("limerick")
    assert adapted.requests == []


def test_embeddings_are_the_models_own(adapted: Any, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'haiku' is an adapter") as caught:
        client.embeddings.create(model="haiku", input="x")
    assert caught.value.param == "model"
