"""Checks of `groundup.evaluation.perplexity`. Oracle: each token's loss on its own, in NumPy.

The model's state is a running mean of vectors, one for each token that it reads, so that what it
predicts depends on every token of the window and on nothing before it.
"""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

VOCABULARY, DIM, CONTEXT = 31, 12, 40


class RunningMean:
    """A small language model; keeps the shapes of what it was asked."""

    def __init__(self, scale: float = 3.0) -> None:
        generator = torch.Generator().manual_seed(5)
        self.vectors = torch.randn(VOCABULARY, DIM, generator=generator) * scale
        self.output = torch.randn(DIM, VOCABULARY, generator=generator)
        self.config = SimpleNamespace(context=CONTEXT, layers=1, kv_heads=1, head_dim=1)
        self.dtype, self.device = torch.float32, torch.device("cpu")
        self.read: list[int] = []

    def hidden(self, ids: Tensor, cache: object = None, *, outputs: int | None = None) -> Tensor:
        if ids.ndim != 2 or ids.shape[1] > CONTEXT:
            raise CheckFailure(f"the model was given ids of shape {tuple(ids.shape)}, where (B, T) "
                               f"with T of at most {CONTEXT} is expected")  # fmt: skip
        self.read.append(ids.shape[1])
        x = self.vectors[ids].cumsum(1) / torch.arange(1, ids.shape[1] + 1)[:, None]
        return x if outputs is None else x[:, x.shape[1] - outputs :]

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.output

    def __call__(self, ids: Tensor, cache: object = None) -> Tensor:
        return self.logits(self.hidden(ids))


def text(tokens: int) -> list[int]:
    ids: list[int] = np.random.default_rng(tokens).integers(VOCABULARY, size=tokens).tolist()
    return ids


def oracle(model: RunningMean, ids: list[int], context: int, stride: int) -> Tensor:
    """The sum, float64, of each token's loss behind the first window that holds it."""
    vectors, output = model.vectors.double().numpy(), model.output.double().numpy()
    nats = 0.0
    for target in range(1, len(ids)):
        start = max(0, math.ceil((target - context) / stride)) * stride
        logits = vectors[ids[start:target]].mean(0) @ output
        highest = logits.max()
        nats += highest + np.log(np.exp(logits - highest).sum()) - logits[ids[target]]
    return torch.tensor(nats, dtype=torch.float64)


def measured(found: object) -> Tensor:
    nats, tokens = getattr(found, "nats", None), getattr(found, "tokens", None)
    if not isinstance(nats, float) or not isinstance(tokens, int):
        raise CheckFailure(f"the result is {found!r}: expected a Perplexity of nats and tokens")
    return torch.tensor(nats, dtype=torch.float64)


def check_one_window(part: ModuleType) -> None:
    """A text that fits the window: every token but the first is predicted"""
    model, ids = RunningMean(), text(30)
    expected = oracle(model, ids, 32, 32)
    found = part.perplexity(model, ids, context=32, stride=32)
    assert_close(measured(found), expected, rtol=1e-5, atol=0, what="the sum of the losses")
    assert_equal(found.tokens, 29, "the number of tokens")


def check_sliding_window(part: ModuleType) -> None:
    """A longer text: each token behind the window that is the first to hold it"""
    model, ids = RunningMean(), text(101)
    for context, stride in ((16, 8), (16, 5), (16, 15), (7, 1), (40, 20), (100, 3)):
        context = min(context, CONTEXT)
        expected = oracle(model, ids, context, stride)
        found = part.perplexity(model, ids, context=context, stride=stride)
        what = f"the sum for a context of {context} and a stride of {stride}"
        assert_close(measured(found), expected, rtol=1e-5, atol=0, what=what)
        assert_equal(found.tokens, 100, "the number of tokens")


def check_windows_apart(part: ModuleType) -> None:
    """A stride as large as the context: windows that share nothing lose no token"""
    model = RunningMean()
    for tokens in (2, 16, 17, 18, 33, 64):
        ids = text(tokens)
        expected = oracle(model, ids, 16, 16)
        found = part.perplexity(model, torch.tensor(ids), context=16, stride=16)
        what = f"the sum of a text of {tokens}"
        assert_close(measured(found), expected, rtol=1e-5, atol=0, what=what)
        assert_equal(found.tokens, tokens - 1, "the number of tokens")


def check_windows_by_hand(part: ModuleType) -> None:
    """The windows of 10 tokens, context 4 and stride 2"""
    expected = [(0, 4, 4), (2, 6, 2), (4, 8, 2), (6, 9, 1)]
    assert_equal(part.windows(10, 4, 2), expected, "windows(10, 4, 2)")
    assert_equal(part.windows(10, 4, 4), [(0, 4, 4), (4, 8, 4), (8, 9, 1)], "windows(10, 4, 4)")
    assert_equal(part.windows(5, 4, 2), [(0, 4, 4)], "windows(5, 4, 2)")
    assert_equal(part.windows(2, 9, 1), [(0, 1, 1)], "windows(2, 9, 1)")


def check_large_logits(part: ModuleType) -> None:
    """Scores of thousands give a number: probabilities are never taken"""
    model, ids = RunningMean(3e4), text(50)
    expected = oracle(model, ids, 16, 8)
    found = part.perplexity(model, ids, context=16, stride=8)
    assert_close(measured(found), expected, rtol=1e-5, atol=0, what="the sum of the losses")


def check_units(part: ModuleType) -> None:
    """Nats a token, perplexity, bits a byte"""
    found = part.Perplexity(nats=20 * math.log(8), tokens=20)
    got = torch.tensor([found.loss, found.value, found.bits_per_byte(30)], dtype=torch.float64)
    expected = torch.tensor([math.log(8), 8, 2], dtype=torch.float64)
    assert_close(got, expected, rtol=1e-9, atol=0, what="loss, value and bits_per_byte(30)")
    assert_equal(part.Perplexity(nats=1e7, tokens=10).value, math.inf, "a value past any float")


def check_report(part: ModuleType) -> None:
    """Progress is told after each window, and no window is read that counts nothing"""
    model = RunningMean()
    told: list[tuple[int, int]] = []
    part.perplexity(
        model, text(40), context=16, stride=8, report=lambda *now: told.append(now)
    )  # fmt: skip
    assert_equal(told, [(16, 39), (24, 39), (32, 39), (39, 39)], "what was told")
    assert_equal(len(model.read), 4, "how often the model was called")


def check_bad_input(part: ModuleType) -> None:
    """Too short a text, a stride or a window out of range, and a loss of NaN, raise ValueError"""
    cases = {
        "a text of one token": ([3], 8, 8),
        "an empty text": ([], 8, 8),
        "a stride of 0": (text(20), 8, 0),
        "a stride of -1": (text(20), 8, -1),
        "a window above the model's context": (text(90), CONTEXT + 1, 8),
    }
    for what, (ids, context, stride) in cases.items():
        call = partial(part.perplexity, RunningMean(), ids, context=context, stride=stride)
        assert_raises(ValueError, call, what)
    assert_raises(ValueError, partial(part.windows, 20, 8, 9), "windows of 8 tokens 9 apart")
    broken = RunningMean()
    broken.output[0, 3] = math.nan
    assert_raises(ValueError, partial(part.perplexity, broken, text(20), context=8, stride=8),
                  "the model's scores are NaN")  # fmt: skip


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a text of so many tokens."""
    model, ids = RunningMean(), text(size)
    return lambda: part.perplexity(model, ids, context=CONTEXT, stride=CONTEXT // 2)


SIZE = 4000
