"""Perplexity against `transformers`' loss, and each token's window against its definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaForCausalLM

from groundup.errors import GroundupError
from groundup.evaluation.perplexity import Perplexity, perplexity, windows
from groundup.models.llama import Llama

CONTEXT = 24


@pytest.fixture(scope="module", name="ids")
def ids_fixture() -> Tensor:
    return torch.randint(97, (150,), generator=torch.Generator().manual_seed(1))


def sliding_window_of_their_guide(
    model: LlamaForCausalLM, ids: Tensor, length: int, stride: int
) -> tuple[float, int]:
    """The loop of transformers' guide to perplexity: labels, -100 where a token counted before."""
    nats, tokens, previous = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        window = ids[None, begin:end]
        labels = window.clone()
        labels[:, : -(end - previous)] = -100
        valid = int((labels[:, 1:] != -100).sum())
        with torch.no_grad():
            nats += float(model(window, labels=labels).loss) * valid
        tokens, previous = tokens + valid, end
        if end == len(ids):
            break
    return nats, tokens


def test_one_window_is_the_loss_of_transformers(
    models: tuple[Llama, LlamaForCausalLM], ids: Tensor
) -> None:
    ours, theirs = models
    with torch.no_grad():
        expected = float(theirs(ids[None], labels=ids[None]).loss)
    found = perplexity(ours, ids, context=200, stride=200)
    assert found.tokens == 149
    assert found.loss == pytest.approx(expected, abs=1e-5)
    assert found.value == pytest.approx(math.exp(expected), rel=1e-5)


@pytest.mark.parametrize("stride", [1, 7, 12, CONTEXT - 1, CONTEXT])
def test_windows_are_those_of_their_guide(
    models: tuple[Llama, LlamaForCausalLM], ids: Tensor, stride: int
) -> None:
    """A window that reads C tokens and predicts C is one of C + 1 there."""
    ours, theirs = models
    nats, tokens = sliding_window_of_their_guide(theirs, ids, CONTEXT + 1, stride)
    found = perplexity(ours, ids.tolist(), context=CONTEXT, stride=stride)
    assert found.tokens == tokens == 149
    assert found.nats == pytest.approx(nats, abs=149 * 1e-5)


def test_logits_in_pieces_are_logits_at_once(
    models: tuple[Llama, LlamaForCausalLM], monkeypatch: pytest.MonkeyPatch, ids: Tensor
) -> None:
    whole = perplexity(models[0], ids, context=150, stride=75)
    monkeypatch.setattr("groundup.evaluation.perplexity.ROWS", 7)
    pieces = perplexity(models[0], ids, context=150, stride=75)
    assert pieces.nats == pytest.approx(whole.nats, abs=1e-4)


@given(st.integers(2, 60), st.integers(1, 12), st.data())
def test_each_token_counts_once_with_the_context_it_should_have(
    tokens: int, context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context))
    counted = []
    for start, end, new in windows(tokens, context, stride):
        assert 0 < new <= end - start <= context
        for target in range(end + 1 - new, end + 1):
            counted.append(target)
            assert target - start >= min(context - stride + 1, target)
    assert counted == list(range(1, tokens))


def test_report_ends_with_all_tokens(models: tuple[Llama, LlamaForCausalLM], ids: Tensor) -> None:
    told: list[tuple[int, int]] = []
    perplexity(
        models[0], ids, context=50, stride=50, report=lambda done, total: told.append((done, total))
    )
    assert told == [(50, 149), (100, 149), (149, 149)]


def test_units() -> None:
    found = Perplexity(nats=10 * math.log(8), tokens=10)
    assert found.value == pytest.approx(8)
    assert found.bits_per_byte(15) == pytest.approx(2)
    assert Perplexity(1e6, 10).value == math.inf


def test_bad_input(models: tuple[Llama, LlamaForCausalLM]) -> None:
    model = models[0]
    with pytest.raises(GroundupError, match="at least 2 tokens, got 1"):
        perplexity(model, [5], context=8, stride=8)
    for stride in (0, 9):
        with pytest.raises(GroundupError, match=f"stride is {stride}, expected 1 to the context"):
            perplexity(model, [5, 6, 7], context=8, stride=stride)
    with pytest.raises(GroundupError, match="reads at most 600: choose a shorter one"):
        perplexity(model, [5, 6, 7], context=601, stride=8)


def test_a_loss_that_is_no_number_is_told(models: tuple[Llama, LlamaForCausalLM]) -> None:
    model = models[0]
    kept = model.norm.weight.data.clone()
    model.norm.weight.data[0] = torch.nan
    try:
        with pytest.raises(GroundupError, match="the loss is nan in tokens 0 to 8"):
            perplexity(model, list(range(20)), context=8, stride=8)
    finally:
        model.norm.weight.data = kept
