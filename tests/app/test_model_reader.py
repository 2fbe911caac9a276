"""The process that looks into models: what it tells, how it fails, and that it ends."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from functools import partial

import psutil
import pytest
import torch

from groundup.app import model_reader
from groundup.app.model_reader import ModelReader
from groundup.app.reading_order import Source
from groundup.errors import GroundupError
from groundup.models.load import load_model

LIMIT = 120.0  # seconds: machines may be busy
TEXT = "The cat sat on the mat, and the cat sat."


@pytest.fixture
def workers(started: Callable[[str], list[psutil.Process]]) -> Callable[[], list[psutil.Process]]:
    return partial(started, "reading_worker")


@pytest.fixture
async def reader(workers: Callable[[], list[psutil.Process]]) -> AsyncIterator[ModelReader]:
    made = ModelReader()
    yield made
    await made.close()
    assert not workers()


async def test_a_text(reader: ModelReader, tiny_model: str) -> None:
    """Against the model itself, in this process."""
    source = Source(tiny_model, text=TEXT)
    reading = await reader.reading(source)
    loaded = load_model(tiny_model)
    ids = loaded.tokenizer.encode(TEXT, special=False)
    with torch.inference_mode():
        logprobs = loaded.model(torch.tensor([ids]))[0].float().log_softmax(-1)
    assert "".join(reading.tokens) == TEXT
    assert "".join(chance.text for chance in reading.chances) == TEXT
    assert (reading.left_out, reading.earlier) == (0, 0)
    assert reading.chances[0].logprob is None
    for at, chance in enumerate(reading.chances[1:], start=1):
        assert chance.logprob == pytest.approx(logprobs[at - 1, ids[at]].item(), abs=1e-2)
        best = logprobs[at - 1].max().item()
        assert chance.top[0][1] == pytest.approx(best, abs=1e-2)
        assert [p for _, p in chance.top] == sorted((p for _, p in chance.top), reverse=True)
    rows = (await reader.attention(source, 0, 3)).rows
    assert [len(row) for row in rows] == [1 + len(ids)] * len(ids)
    for i, row in enumerate(rows):
        assert sum(row) == pytest.approx(1000, abs=len(ids))
        assert row[0] == 0
        assert not any(row[2 + i :])
    mean = sum(row[1 + i] for i, row in enumerate(rows)) / len(rows) / 1000
    assert reading.itself[0][3] == pytest.approx(mean, abs=2e-3)
    mean = sum(row[i] for i, row in enumerate(rows) if i) / (len(rows) - 1) / 1000
    assert reading.previous[0][3] == pytest.approx(mean, abs=2e-3)
    assert reading.first[0][3] == pytest.approx(
        sum(row[1] for row in rows) / len(rows) / 1000, abs=2e-3
    )


async def test_an_answer(reader: ModelReader, tiny_model: str) -> None:
    """Of a conversation, the answer's tokens alone, with what came before it read."""
    messages = (("user", "Hello there. " * 60), ("assistant", "One two three four."))
    reading = await reader.reading(Source(tiny_model, messages=messages))
    said = "".join(chance.text for chance in reading.chances)
    assert said.startswith("One two three four.")
    assert all(chance.logprob is not None for chance in reading.chances)
    assert len(reading.tokens) == 128
    assert reading.earlier > 0
    assert all(math.isfinite(share) for layer in reading.first for share in layer)


async def test_what_cannot_be_read(
    reader: ModelReader, tiny_model: str, forgetful_model: str
) -> None:
    with pytest.raises(GroundupError, match=r"there is no /nowhere\.gguf"):
        await reader.reading(Source("/nowhere.gguf", text="a"))
    with pytest.raises(GroundupError, match="nothing to read"):
        await reader.reading(Source(tiny_model))
    with pytest.raises(GroundupError, match="no head 9 in a layer 0"):
        await reader.attention(Source(tiny_model, text="a"), 0, 9)
    long = await reader.reading(Source(forgetful_model, text="one two " * 200))
    assert len(long.chances) == 100
    assert long.left_out > 0


async def test_one_that_is_killed_is_replaced(
    reader: ModelReader, workers: Callable[[], list[psutil.Process]], tiny_model: str
) -> None:
    source = Source(tiny_model, text=TEXT)
    await reader.reading(source)
    (process,) = workers()
    process.suspend()
    waiting = asyncio.create_task(reader.reading(source))
    await asyncio.sleep(0.05)
    process.kill()
    with pytest.raises(GroundupError, match="the process that looks into models ended"):
        await asyncio.wait_for(waiting, LIMIT)
    assert (await reader.reading(source)).tokens


async def test_it_survives_errors(
    reader: ModelReader, workers: Callable[[], list[psutil.Process]], tiny_model: str
) -> None:
    with pytest.raises(GroundupError, match="write something"):
        await reader.picture(tiny_model, "token_pieces", {"text": ""})
    (first,) = workers()
    assert (await reader.picture(tiny_model, "token_pieces", {"text": "abc"}))["bytes"] == 3
    assert workers() == [first]


async def test_it_gives_its_memory_back(
    reader: ModelReader,
    workers: Callable[[], list[psutil.Process]],
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_reader, "IDLE", 0.05)
    await reader.reading(Source(tiny_model, text=TEXT))
    async with asyncio.timeout(LIMIT):
        while workers():
            await asyncio.sleep(0.05)


async def test_who_waits_no_more_leaves_nothing(
    reader: ModelReader, workers: Callable[[], list[psutil.Process]], tiny_model: str
) -> None:
    """An answer that nobody took would be the next order's."""
    waiting = asyncio.create_task(reader.reading(Source(tiny_model, text="one")))
    async with asyncio.timeout(LIMIT):
        while not workers():
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await reader.reading(Source(tiny_model, text="two"))).tokens == ["two"]
