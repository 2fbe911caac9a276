"""SmolLM2 behind the API, on a stand-in engine: the plain decoding loop in a thread."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from groundup.engine.generate import generate
from groundup.engine.request import Request, Token
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.load import LoadedModel, load_model

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]


class ThreadEngine:
    """One request after the other."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.model_name = loaded.name
        self.adapters: dict[str, str] = {}
        self.context = loaded.model.config.context
        self.tokenizer = loaded.tokenizer
        self._model = loaded.model
        self.steps = 0

    async def generate(self, request: Request) -> AsyncGenerator[list[Token]]:
        tokens = self._tokens(request)
        try:
            while (token := await asyncio.to_thread(next, tokens, None)) is not None:
                yield [token]
        finally:
            tokens.close()

    def _tokens(self, request: Request) -> Generator[Token]:
        ids = generate(self._model, request.prompt, request.params, max_tokens=request.max_tokens)
        for count, i in enumerate(ids, start=1):
            self.steps += 1
            if i in request.stop_ids:
                yield Token(i, finish_reason="stop")
                return
            yield Token(i, finish_reason="length" if count == request.max_tokens else None)

    async def embed(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        raise GroundupError("this model embeds nothing")

    def ready(self) -> bool:
        return True


@pytest.fixture(scope="module")
def engine() -> ThreadEngine:
    return ThreadEngine(load_model("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def client(engine: ThreadEngine, module_server: Callable[..., Any]) -> Iterator[openai.OpenAI]:
    with (
        module_server(engine) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


def test_a_chat_as_the_decoding_loop_has_it(client: openai.OpenAI, engine: ThreadEngine) -> None:
    answer = client.chat.completions.create(
        model="smollm2-135m-instruct", messages=QUESTION, temperature=0, max_tokens=30
    )
    ids = engine.tokenizer.encode_chat(QUESTION)
    expected = generate(
        engine._model, ids, SamplingParams(), stop_ids=engine.tokenizer.eos_ids, max_tokens=30
    )
    text = engine.tokenizer.decode(list(expected))
    assert "Paris" in text
    assert answer.choices[0].message.content == text
    assert answer.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(
        model="smollm2-135m-instruct", messages=QUESTION, temperature=0, max_tokens=30, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text


def test_a_stop_string_ends_the_decoding(client: openai.OpenAI, engine: ThreadEngine) -> None:
    before = engine.steps
    answer = client.chat.completions.create(
        model="smollm2-135m-instruct", messages=QUESTION, temperature=0, max_tokens=60, stop=" Par"
    )
    content = answer.choices[0].message.content
    assert content
    assert "Par" not in content
    assert answer.choices[0].finish_reason == "stop"
    assert engine.steps - before < 30


async def test_the_asynchronous_client(client: openai.OpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=client.base_url, api_key="none") as asynchronous:
        events = await asynchronous.responses.create(
            model="smollm2-135m-instruct",
            input="What is the capital of France?",
            temperature=0,
            max_output_tokens=12,
            stream=True,
        )
        names = [event.type async for event in events]
    assert names[0] == "response.created"
    assert names[-1] in ("response.completed", "response.incomplete")
    assert names.count("response.output_text.delta") > 3


def test_the_same_seed_the_same_answers(client: openai.OpenAI) -> None:
    def texts() -> list[str]:
        answer = client.completions.create(
            model="smollm2-135m-instruct", prompt="Once", temperature=1.0, seed=5, n=2, max_tokens=6
        )
        return [choice.text for choice in answer.choices]

    first = texts()
    assert first[0] != first[1]
    assert texts() == first
