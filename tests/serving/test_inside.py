"""GET /inside: what it tells, and to whom."""

import asyncio
from typing import Any

import httpx
import pytest

from groundup.engine.step_log import EngineView, SequenceRead, SequenceView, StepView
from groundup.serving import inside
from groundup.serving.callers import Callers
from groundup.serving.engine_messages import EngineOptions
from groundup.serving.replicas import Replicas

VIEW = EngineView(
    8, 16, [3, 4],
    [SequenceView(5, True, 20, 22, 21, 16, [0, 1])],
    [StepView(9, 1e9, 0.25, [SequenceRead(5, 1, 0, 0)], [2], 1, 2, 3)],
)  # fmt: skip


def looked_into(new_engine: Any, views: Any) -> Any:
    engine = new_engine()
    engine.views = views
    return engine


def test_what_it_tells(run_server: Any, new_engine: Any) -> None:
    async def views() -> dict[str, EngineView]:
        return {"0": VIEW}

    with run_server(looked_into(new_engine, views), callers=Callers(["k"])) as running:
        url = f"{running.url}/inside"
        assert httpx.get(url).status_code == 401
        answer = httpx.get(url, headers={"authorization": "Bearer k"})
    assert answer.status_code == 200
    assert answer.json() == {
        "engines": {
            "0": {
                "blocks": 8,
                "block_size": 16,
                "cached": [3, 4],
                "sequences": [
                    {"sequence": 5, "running": True, "prompt": 20, "tokens": 22, "read": 21,
                     "found": 16, "blocks": [0, 1]}
                ],
                "steps": [
                    {"number": 9, "began": 1e9, "seconds": 0.25,
                     "reads": [{"sequence": 5, "tokens": 1, "of_prompt": 0, "found": 0}],
                     "preempted": [2], "waiting": 1, "held": 2, "known": 3}
                ],
            }
        }
    }  # fmt: skip


def test_an_engine_that_shows_nothing(running: Any) -> None:
    assert httpx.get(f"{running.url}/inside").json() == {"engines": {}}


def test_an_engine_in_a_long_step(
    run_server: Any, new_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def views() -> dict[str, EngineView]:
        await asyncio.sleep(1000)
        raise AssertionError

    monkeypatch.setattr(inside, "PATIENCE", 0.05)
    with run_server(looked_into(new_engine, views)) as running:
        answer = httpx.get(f"{running.url}/inside")
    assert answer.status_code == 503
    assert "long step" in answer.json()["error"]["message"]


async def test_replicas_that_run(tiny_model: str) -> None:
    """One that was lost is left out."""
    async with (
        asyncio.timeout(120),
        Replicas.start(EngineOptions(tiny_model, dtype="float32", threads=1), 2) as replicas,
    ):
        assert {name: view.blocks for name, view in (await replicas.views()).items()} == {
            "0": 1024,
            "1": 1024,
        }
        first = replicas.replicas[0].process
        assert first is not None
        await first.close()
        assert list(await replicas.views()) == ["1"]
