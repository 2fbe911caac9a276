"""Two models on one prompt: both answer at once, and one that fails does not harm the other."""

import asyncio
from dataclasses import replace

import pytest

from groundup.app.comparison import Contender, compare
from groundup.app.model_server import Endpoint
from groundup.errors import GroundupError
from tests.app.scripted_model import scripted_model


async def test_both_answer() -> None:
    async with scripted_model() as one, scripted_model() as other:
        other.pieces, other.usage = ["Bye"], 1
        models = {"one": one, "other": other}

        async def endpoint(model: str) -> Endpoint:
            return replace(models[model].endpoint)

        sides = [Contender("one"), Contender("other")]
        seen: list[tuple[str, str]] = []
        await compare(sides, endpoint, "Hi", {"seed": 3}, lambda c: seen.append((c.model, c.state)))
        assert [(c.state, c.text, c.tokens) for c in sides] == [
            ("complete", "Hello there.", 7),
            ("complete", "Bye", 1),
        ]
        assert all(c.first is not None and c.first > 0 for c in sides)
        assert sides[0].rate == pytest.approx(6 / sides[0].seconds)  # the first is not of it
        assert sides[1].rate is None  # one token has no rate
        for model in models.values():
            (request,) = model.requests
            assert request["messages"] == [{"role": "user", "content": "Hi"}]
            assert request["seed"] == 3
        assert {state for _, state in seen} == {"loading", "reading", "writing", "complete"}


async def test_none_is_asked_before_all_are_loaded() -> None:
    async with scripted_model() as model:
        loaded = asyncio.Event()

        async def endpoint(name: str) -> Endpoint:
            if name == "slow":
                await loaded.wait()
            return model.endpoint

        sides = [Contender("fast"), Contender("slow")]
        task = asyncio.create_task(compare(sides, endpoint, "Hi", {}, lambda _: None))
        await asyncio.sleep(0.1)
        assert model.requests == []
        loaded.set()
        await asyncio.wait_for(task, 30)
        assert len(model.requests) == 2


async def test_one_fails() -> None:
    async with scripted_model() as model, scripted_model() as broken:
        broken.broken_after = 1

        async def endpoint(name: str) -> Endpoint:
            if name == "missing":
                raise GroundupError("it is not there")
            return (broken if name == "broken" else model).endpoint

        sides = [Contender("missing"), Contender("broken"), Contender("good")]
        await compare(sides, endpoint, "Hi", {}, lambda _: None)
        assert [c.state for c in sides] == ["failed", "failed", "complete"]
        assert sides[0].reason == "it is not there"
        assert "broke off" in sides[1].reason
        assert sides[1].text == "Hello"


async def test_stopping() -> None:
    async with scripted_model() as model:
        model.pause.clear()
        begun = asyncio.Event()
        sides = [Contender("a"), Contender("b")]

        async def endpoint(name: str) -> Endpoint:
            return model.endpoint

        def changed(contender: Contender) -> None:
            if all(side.text for side in sides):
                begun.set()

        task = asyncio.create_task(compare(sides, endpoint, "Hi", {}, changed))
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(c.state, c.text) for c in sides] == [("stopped", "Hello")] * 2
