"""What the engine tells of its steps, against what went in, what came out and the scheduler."""

from collections import Counter
from itertools import pairwise

import pytest
import torch

from groundup.engine.engine import Engine
from groundup.engine.request import Request
from groundup.engine.step_log import STEPS, EngineView
from groundup.models.llama import Llama, LlamaConfig

NEW = 9  # tokens of each answer


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocabulary=97, dim=32, hidden_dim=48, layers=1, heads=4, kv_heads=2, head_dim=16,
        context=200,
    )  # fmt: skip
    return Llama(config).requires_grad_(False).eval()


def run(engine: Engine) -> list[EngineView]:
    """Every view between two steps, to the end."""
    views = []
    while engine.busy:
        engine.step()
        views.append(engine.view())
    return views


def run_to_end(engine: Engine) -> None:
    while engine.busy:
        engine.step()


def prompt(length: int, first: int = 0) -> tuple[int, ...]:
    return tuple((first + i) % 97 for i in range(length))


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_tells_what_it_read_of_whom(model: Llama, fused: bool) -> None:
    engine = Engine(
        model, fused=fused, positions=400, block_size=8, token_budget=20, max_sequences=2
    )
    lengths = {7: 45, 8: 3, 9: 30}
    for key, length in lengths.items():
        engine.add(key, Request(prompt(length, key), max_tokens=NEW))
    views = run(engine)
    steps = views[-1].steps
    assert [step.number for step in steps] == list(range(1, len(views) + 1))
    assert [step.waiting for step in steps][:2] == [2, 2]  # the budget is one prompt's
    read, of_prompt = Counter[int](), Counter[int]()
    for step in steps:
        assert 0 < sum(each.tokens for each in step.reads) <= 20
        assert len(step.reads) <= 2
        assert step.seconds > 0
        for each in step.reads:
            read[each.sequence] += each.tokens
            of_prompt[each.sequence] += each.of_prompt
    assert of_prompt == lengths
    assert read == {key: length + NEW - 1 for key, length in lengths.items()}
    for step, following in pairwise(steps):
        assert step.began + step.seconds <= following.began + 1e-6


def test_what_the_prefix_cache_had(model: Llama) -> None:
    engine = Engine(model, positions=400, block_size=8)
    engine.add(1, Request(prompt(45), max_tokens=NEW))
    run_to_end(engine)
    engine.add(2, Request((*prompt(27), 90, 91), max_tokens=NEW))
    begun, *_ = run(engine)
    (sequence,) = begun.sequences
    assert sequence.found == 24  # three whole blocks of the 27 tokens
    assert (sequence.prompt, sequence.tokens, sequence.read) == (29, 30, 29)
    (first,) = begun.steps[-1].reads
    assert (first.tokens, first.of_prompt, first.found) == (5, 5, 24)
    (second,) = engine.view().steps[-1].reads
    assert (second.tokens, second.of_prompt, second.found) == (1, 0, 0)


def test_where_the_blocks_are(model: Llama) -> None:
    """Against the sequences' tokens; each block is held, found, or neither."""
    engine = Engine(model, positions=160, block_size=8, max_sequences=4)
    for key in range(3):
        engine.add(key, Request((*prompt(16), key), max_tokens=NEW))
    for view in run(engine):
        held = {block for sequence in view.sequences for block in sequence.blocks}
        assert view.blocks == 20
        for sequence in view.sequences:
            assert len(sequence.blocks) == -(-sequence.read // view.block_size)
        assert not held & set(view.cached)
    end = engine.view()
    assert end.sequences == []
    # The two blocks that all begin with, and the third of each, which its answer filled.
    assert len(end.cached) == 2 + 3


def test_preempted_sequences_are_named(model: Llama) -> None:
    engine = Engine(model, positions=64, block_size=8, max_sequences=4)
    for key in (5, 6, 7):
        engine.add(key, Request(prompt(15, 20 * key), max_tokens=30))
    run_to_end(engine)
    steps = engine.view().steps
    preempted = [key for step in steps for key in step.preempted]
    assert len(preempted) == engine.scheduler.preemptions > 0
    assert 5 not in preempted  # the first is never
    for step in steps:
        assert not set(step.preempted) & {each.sequence for each in step.reads}


def test_it_forgets(model: Llama) -> None:
    """The oldest steps, and all of them after the warm-up."""
    engine = Engine(model, positions=256, block_size=8)
    for _ in range(3):
        engine.add(1, Request((1, 2), max_tokens=150))
        run_to_end(engine)
    steps = engine.view().steps
    assert len(steps) == STEPS
    assert steps[-1].number == 450
    engine.log.clear()
    assert engine.view().steps == []
