"""Checks of `groundup.engine.beam_search`. Oracles: all texts there are; a search in lists."""

import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
)

START, EOS = 0, 1
Text = tuple[int, ...]
Model = Callable[[Text], Tensor]  # the log-probabilities of what follows a text


def random_model(V: int, seed: int, sharpness: float = 2.0) -> Model:
    """The next token depends on the whole text before."""

    def model(text: Text) -> Tensor:
        generator = torch.Generator().manual_seed(hash((seed, *text)) % 2**63)
        return (sharpness * torch.randn(V, generator=generator)).log_softmax(-1)

    return model


class Followed:
    """A step that keeps each row's text by the parents it is told, as a cache would."""

    def __init__(self, model: Model, beams: int) -> None:
        self.model, self.calls = model, 0
        self.texts: list[Text] = [()] * beams

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        for name, rows in (("tokens", tokens), ("parents", parents)):
            if not isinstance(rows, Tensor) or rows.shape != (len(self.texts),):
                raise CheckFailure(f"step got {name} {rows!r}: expected a tensor of shape (beams,)")
        if self.calls:
            pairs = zip(parents.tolist(), tokens.tolist(), strict=True)
            self.texts = [(*self.texts[parent], token) for parent, token in pairs]
        elif tokens.tolist() != [START] * len(self.texts):
            raise CheckFailure(f"at first every row is the start token {START}, got {tokens}")
        self.calls += 1
        return torch.stack([self.model(text) for text in self.texts])


def searched(model: Model, beams: int, most: int, penalty: float) -> list[tuple[float, Text]]:
    """The search as the assignment describes it, in lists."""
    unfinished: list[tuple[float, Text]] = [(0.0, ())]
    finished: list[tuple[float, Text]] = []
    for length in range(1, most + 1):
        longer = [
            (total + p, (*text, token))
            for total, text in unfinished
            for token, p in enumerate(model(text).tolist())
        ]
        longer = sorted(longer, reverse=True)[: 2 * beams]
        for rank, (total, text) in enumerate(longer):
            if rank < beams and (text[-1] == EOS or length == most):
                finished.append((total / length**penalty, text))
        finished = sorted(finished, reverse=True)[:beams]
        unfinished = [x for x in longer if x[1][-1] != EOS][:beams]
        if not unfinished or length == most:
            break
        if len(finished) == beams and unfinished[0][0] / length**penalty <= finished[-1][0]:
            break
    return finished


def search(part: ModuleType, model: Model, beams: int, most: int, **options: Any) -> Any:
    step = Followed(model, beams)
    return part.beam_search(
        step, start_id=START, eos_id=EOS, beams=beams, max_tokens=most, **options
    )


def compare(found: Any, expected: list[tuple[float, Text]], when: str) -> None:
    if not isinstance(found, list):
        raise CheckFailure(f"{when}: the result is {type(found).__name__}, expected a list")
    assert_equal([text.tokens for text in found], [text for _, text in expected], f"{when}, texts")
    scores = torch.tensor([text.score for text in found])
    want = torch.tensor([score for score, _ in expected])
    assert_close(scores, want, rtol=1e-4, atol=1e-5, what=f"{when}, the scores")


def check_against_the_description(part: ModuleType) -> None:
    """Texts and scores, for several widths, lengths, penalties and models"""
    cases = [
        (V, beams, most, penalty, seed)
        for V, beams, most in ((3, 2, 6), (5, 3, 8), (8, 4, 5), (6, 1, 9))
        for penalty in (0.0, 0.7, 1.0, 2.0)
        for seed in (0, 1)
    ]
    expected = {case: searched(random_model(case[0], case[4]), *case[1:4]) for case in cases}
    for (V, beams, most, penalty, seed), want in expected.items():
        when = f"with {V} tokens, beams={beams}, max_tokens={most}, length_penalty={penalty}"
        model = random_model(V, seed)
        compare(search(part, model, beams, most, length_penalty=penalty), want, when)


def check_a_wide_beam_finds_the_best(part: ModuleType) -> None:
    """Wide enough, it finds the best of all texts that there are"""
    model, most = random_model(3, 5, sharpness=1.0), 4
    texts = [
        (*middle, end)
        for n in range(most)
        for middle in itertools.product((0, 2), repeat=n)
        for end in ((0, 1, 2) if n == most - 1 else (1,))
    ]
    totals = {t: math.fsum(model(t[:i])[x].item() for i, x in enumerate(t)) for t in texts}
    expected = {p: max(totals, key=lambda t: totals[t] / len(t) ** p) for p in (0.0, 1.0)}
    for penalty, want in expected.items():
        found = search(part, model, 81, most, length_penalty=penalty)
        assert_equal(found[0].tokens, want, f"the best of all texts for length_penalty={penalty}")


def check_greedy(part: ModuleType) -> None:
    """One beam always takes the likeliest token"""
    model = random_model(7, 3)
    text: Text = ()
    while len(text) < 10 and text[-1:] != (EOS,):
        text = (*text, int(model(text).argmax()))
    found = search(part, model, 1, 10)
    assert_equal([hypothesis.tokens for hypothesis in found], [text], "the text of one beam")


def check_greedy_can_be_wrong(part: ModuleType) -> None:
    """Two beams find a likelier text than one where the first step misleads"""

    def model(text: Text) -> Tensor:
        p = {(): [0.0, 0.0, 0.6, 0.4], (2,): [0.0, 0.3, 0.4, 0.3], (3,): [0.0, 0.9, 0.05, 0.05]}
        return torch.tensor(p.get(text, [0.0, 1.0, 0.0, 0.0])).log()

    one, two = (search(part, model, beams, 5, length_penalty=0.0) for beams in (1, 2))
    assert_equal(one[0].tokens, (2, 2, 1), "the text of one beam")
    assert_equal(two[0].tokens, (3, 1), "the better text of two beams")


def check_impossible_tokens(part: ModuleType) -> None:
    """Tokens of probability 0 are in no text, also where fewer texts than beams are left"""

    def model(text: Text) -> Tensor:
        p = torch.zeros(4)
        p[[2, 3] if len(text) < 2 else [EOS]] = 0.5 if len(text) < 2 else 1.0
        return p.log()

    found = search(part, model, 6, 5, length_penalty=1.0)
    texts = sorted(hypothesis.tokens for hypothesis in found)
    assert_equal(texts, [(2, 2, 1), (2, 3, 1), (3, 2, 1), (3, 3, 1)], "the four possible texts")


def check_length_penalty(part: ModuleType) -> None:
    """The sum favours short texts, the mean does not"""

    def model(text: Text) -> Tensor:
        p = {(): [0.0, 0.5, 0.5, 0.0], (2,): [0.0, 0.05, 0.95, 0.0], (2, 2): [0.0, 0.9, 0.1, 0.0]}
        return torch.tensor(p.get(text, [0.0, 1.0, 0.0, 0.0])).log()

    short = search(part, model, 3, 4, length_penalty=0.0)[0]
    long = search(part, model, 3, 4)[0]
    assert_equal(short.tokens, (1,), "the best text for length_penalty=0")
    assert_equal(long.tokens, (2, 2, 1), "the best text for the default length_penalty, 1,")
    want = torch.tensor(math.log(0.5 * 0.95 * 0.9) / 3)
    got = torch.tensor(long.score)
    assert_close(got, want, rtol=1e-4, atol=1e-6, what="its score, the mean of three,")


def check_steps(part: ModuleType) -> None:
    """It stops as soon as no unfinished text can win, and after max_tokens in any case"""

    def sure(text: Text) -> Tensor:
        p = [0.0, 0.98, 0.01, 0.01] if text else [0.0, 0.0, 0.7, 0.3]
        return torch.tensor(p).log()

    def never(text: Text) -> Tensor:
        return torch.tensor([0.0, 0.0, 0.6, 0.4]).log()

    for model, most, want in ((sure, 50, 2), (never, 7, 7)):
        step = Followed(model, 2)
        part.beam_search(step, start_id=START, eos_id=EOS, beams=2, max_tokens=most)
        assert_equal(step.calls, want, f"how often step is called, of at most {most} times,")


def check_bad_input(part: ModuleType) -> None:
    """A number of beams or tokens that is not positive raises ValueError"""
    for beams, most in ((0, 5), (-1, 5), (2, 0), (2, -3)):
        call = lambda b=beams, m=most: part.beam_search(  # noqa: E731
            Followed(random_model(4, 0), b), start_id=START, eos_id=EOS, beams=b, max_tokens=m
        )
        assert_raises(ValueError, call, f"beams={beams} and max_tokens={most}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` steps of four beams over 32,000 tokens."""
    scores = torch.randn(4, 32_000).log_softmax(-1)
    scores[:, EOS] = -100.0
    return lambda: part.beam_search(
        lambda tokens, parents: scores, start_id=START, eos_id=EOS, beams=4, max_tokens=size
    )


SIZE = 20
