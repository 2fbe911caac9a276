"""The engine's streams are closed however an iteration over answers ends."""

from contextlib import aclosing
from typing import Any

import pytest

from groundup.engine.request import Request
from groundup.errors import GroundupError
from groundup.serving.answers import Answers
from groundup.serving.intake import IntakeSettings
from groundup.serving.service import Service


@pytest.fixture
def engine(scripted_engine_class: Any) -> Any:
    return scripted_engine_class()


def answers_of(engine: Any, n: int) -> tuple[Answers, Service]:
    service = Service(engine, IntakeSettings())
    return service.answers([Request((1, 2), max_tokens=50)] * n, ()), service


@pytest.mark.parametrize("n", [1, 3])
async def test_a_caller_that_stops(engine: Any, n: int) -> None:
    engine.hang_after = 3
    answers, service = answers_of(engine, n)
    async with aclosing(answers.pieces()) as pieces:
        async for _ in pieces:
            assert service.admission.running == n
            break
    assert engine.open == 0
    assert service.admission.running == 0
    assert service.metrics.request_success["abort"]._value.get() == n


@pytest.mark.parametrize("n", [1, 3])
async def test_a_failure(engine: Any, n: int) -> None:
    engine.failure, engine.failure_after = GroundupError("it broke"), 3
    answers, service = answers_of(engine, n)
    with pytest.raises(RuntimeError, match="it broke"):
        [piece async for piece in answers.pieces()]
    assert engine.open == 0
    assert service.admission.running == 0


@pytest.mark.parametrize("n", [1, 3])
async def test_an_answer_without_an_end(engine: Any, n: int) -> None:
    engine.last_reason = None
    answers, _ = answers_of(engine, n)
    with pytest.raises(RuntimeError, match="without a finish reason"):
        [piece async for piece in answers.pieces()]


@pytest.mark.parametrize("n", [1, 3])
async def test_an_answer_that_is_long_enough(engine: Any, n: int) -> None:
    engine.hang_after = 4
    answers, service = answers_of(engine, n)
    seen = [0] * n
    async for i, piece in answers.pieces():
        seen[i] += len(piece.text)
        if seen[i] == 3:
            answers.finish(i)
    assert seen == [3] * n
    assert engine.open == 0
    assert service.metrics.request_success["stop"]._value.get() == n
