"""Checks of `groundup.engine.sampling`. Oracle: NumPy in float64, sorting and adding up plainly."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises

EXACT = {"rtol": 0.0, "atol": 0.0}  # a filter hands on the scores that it keeps as they are
INFINITY = float("inf")


def exact(logits: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = logits.double().numpy()
    return array


def probabilities(logits: Tensor) -> NDArray[np.float64]:
    weights = np.exp(exact(logits) - exact(logits).max())
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def only(logits: Tensor, kept: NDArray[np.bool_]) -> Tensor:
    return torch.where(torch.from_numpy(kept), logits, -INFINITY)


def penalised(logits: Tensor, tokens: list[int], penalty: float) -> Tensor:
    scores = logits.tolist()
    for token in tokens:
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    return torch.tensor(scores, dtype=logits.dtype)


def highest(logits: Tensor, n: int) -> Tensor:
    """The n highest, where no two scores are equal."""
    return only(logits, exact(logits) >= np.sort(exact(logits))[-n])


def nucleus_p(logits: Tensor, n: int) -> float:
    """A p whose nucleus is the n most likely, half the n-th probability away from any other's."""
    shares = np.sort(probabilities(logits))[::-1]
    return float(shares[: n - 1].sum() + shares[n - 1] / 2)


def ratio_p(logits: Tensor, n: int) -> float:
    """A p which the n most likely reach, compared with the most likely, and the next does not."""
    scores = np.sort(exact(logits))[::-1]
    return float(np.exp((scores[n - 1] + scores[n]) / 2 - scores[0]))


def drawn(logits: Tensor, seed: int, times: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    mass = np.cumsum(probabilities(logits))
    uniform = [torch.rand(1, dtype=torch.float64, generator=generator).item() for _ in range(times)]
    return [int(np.argmax(mass > u * mass[-1])) for u in uniform]


def check_repetition_penalty(part: ModuleType) -> None:
    """repetition_penalty: positive scores are divided, negative ones multiplied"""
    logits = torch.tensor([3.0, -2.0, 0.0, 5.0, -INFINITY, -0.5, 0.25])
    previous = torch.tensor([5, 0, 4, 1, 2])
    expected = {x: penalised(logits, previous.tolist(), x) for x in (1.3, 0.8, 1.0)}
    for penalty, want in expected.items():
        got = part.repetition_penalty(logits, previous, penalty)
        assert_close(got, want, rtol=1e-6, atol=0.0, what=f"the result for penalty {penalty}")


def check_repetition_counts_once(part: ModuleType) -> None:
    """repetition_penalty: a token that occurred often is penalised once, none if there is none"""
    logits = torch.randn(50)
    previous = torch.tensor([7, 7, 3, 7, 3, 49, 7])
    expected = penalised(logits, [3, 7, 49], 1.5)
    got = part.repetition_penalty(logits, previous, 1.5)
    assert_close(got, expected, rtol=1e-6, atol=0.0, what="the result after repeated tokens")
    got = part.repetition_penalty(logits, previous[:0], 1.5)
    assert_close(got, logits, what="the result when previous is empty", **EXACT)


def check_top_k(part: ModuleType) -> None:
    """top_k: the k highest scores stay as they are, the others become minus infinity"""
    logits = torch.randn(1000)
    expected = {k: highest(logits, k) for k in (1, 2, 40, 999)}
    for k, want in expected.items():
        assert_close(part.top_k(logits, k), want, what=f"the result for k={k}", **EXACT)


def check_top_k_edges(part: ModuleType) -> None:
    """top_k: equals of the k-th are all kept, and k may be V or more"""
    tied = torch.tensor([1.0, 4.0, 2.0, 4.0, 2.0, -1.0, 2.0])
    some = torch.tensor([0.5, -INFINITY, 1.5, -INFINITY, -3.0])
    cases = {
        "k=1 with two equal highest": (tied, 1, only(tied, exact(tied) >= 4)),
        "k=3 with three equals in third place": (tied, 3, only(tied, exact(tied) >= 2)),
        "k=V": (tied, 7, tied),
        "k=V+1": (tied, 8, tied),
        "k=100 and V=7": (tied, 100, tied),
        "k=2 of scores with minus infinities": (some, 2, only(some, exact(some) >= 0)),
        "k=4, more than there are finite scores": (some, 4, some),
    }
    for case, (logits, k, want) in cases.items():
        assert_close(part.top_k(logits, k), want, what=f"the result for {case}", **EXACT)


def check_top_p(part: ModuleType) -> None:
    """top_p: the fewest most likely tokens that reach p, the one that crosses it included"""
    logits = 3 * torch.randn(300)
    expected = {n: (nucleus_p(logits, n), highest(logits, n)) for n in (1, 2, 3, 8, 20)}
    for n, (p, want) in expected.items():
        what = f"the result for p={p:.4f}, whose nucleus has {n} tokens,"
        assert_close(part.top_p(logits, p), want, what=what, **EXACT)


def check_top_p_equals(part: ModuleType) -> None:
    """top_p: equals of the last token kept are all kept, in a flat distribution too"""
    # Three levels with a half, three tenths and a fifth of the probability, in a shuffled order.
    sizes, shares = (400, 3000, 40000), (0.5, 0.3, 0.2)
    levels = [torch.full((n,), float(np.log(s / n))) for n, s in zip(sizes, shares, strict=True)]
    logits = torch.cat(levels)[torch.randperm(sum(sizes))]
    lowest = {0.01: levels[0], 0.4: levels[0], 0.6: levels[1], 0.75: levels[1], 0.9: levels[2]}
    expected = {p: only(logits, (logits >= level[0]).numpy()) for p, level in lowest.items()}
    for p, want in expected.items():
        what = f"the result for p={p}, three levels of equal scores,"
        assert_close(part.top_p(logits, p), want, what=what, **EXACT)


def check_top_p_edges(part: ModuleType) -> None:
    """top_p: p=1 keeps all, the most likely is always kept, minus infinity stays"""
    spread = torch.tensor([2.0, -200.0, 0.0, -INFINITY, 1.0])
    large = torch.tensor([990.0, 1000.0, 999.0, -1000.0])  # probabilities 0.00003, 0.731, 0.269, 0
    sure, one = torch.tensor([-100.0, 100.0]), torch.tensor([-5.0])
    most = only(spread, exact(spread) == 2)
    cases = {
        "p=1 of scores of which one has the whole probability": (sure, 1.0, sure),
        "p=1 with a minus infinity": (spread, 1.0, spread),
        "p=1e-9": (spread, 1e-9, most),
        "p=0.5 with a minus infinity": (spread, 0.5, most),  # 0.665, 0.245, 0.090
        "p=0.8 with a minus infinity": (spread, 0.8, only(spread, exact(spread) >= 1)),
        "p=0.95 with a minus infinity": (spread, 0.95, only(spread, exact(spread) >= 0)),
        "p=0.7 of scores around 1000": (large, 0.7, only(large, exact(large) == 1000)),
        "p=0.9 of scores around 1000": (large, 0.9, only(large, exact(large) >= 999)),
        "a vocabulary of one token": (one, 0.5, one),
    }
    for case, (logits, p, want) in cases.items():
        assert_close(part.top_p(logits, p), want, what=f"the result for {case}", **EXACT)


def check_min_p(part: ModuleType) -> None:
    """min_p: tokens at least p times as likely as the most likely one"""
    logits = 2 * torch.randn(200)
    expected = {n: (ratio_p(logits, n), highest(logits, n)) for n in (1, 2, 5, 30, 150)}
    for n, (p, want) in expected.items():
        what = f"the result for p={p:.3g}, which {n} tokens reach,"
        assert_close(part.min_p(logits, p), want, what=what, **EXACT)


def check_min_p_edges(part: ModuleType) -> None:
    """min_p: p=0 keeps all, p=1 the most likely and its equals, minus infinity stays"""
    spread = torch.tensor([2.0, -200.0, 0.0, -INFINITY, 2.0, 1.0])
    large = torch.tensor([990.0, 1000.0, 999.0, -1000.0])  # ratios 0.00005, 1, 0.368, 0
    cases = {
        "p=0, one token hopelessly unlikely": (spread, 0.0, spread),
        "p=1 with two equal highest": (spread, 1.0, only(spread, exact(spread) == 2)),
        "p=0.2 with a minus infinity": (spread, 0.2, only(spread, exact(spread) >= 1)),
        "p=0.3 of scores around 1000": (large, 0.3, only(large, exact(large) >= 999)),
        "p=0.4 of scores around 1000": (large, 0.4, only(large, exact(large) == 1000)),
    }
    for case, (logits, p, want) in cases.items():
        assert_close(part.min_p(logits, p), want, what=f"the result for {case}", **EXACT)


def check_dtypes(part: ModuleType) -> None:
    """The scores come back in the dtype of the logits"""
    logits, previous = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64), torch.tensor([2])
    half = logits.bfloat16()
    kept = only(logits, exact(logits) >= 1)
    less = torch.tensor([1.0, -2.0, 1.5, 0.5], dtype=torch.float64)
    cases: dict[str, tuple[Callable[[], object], Tensor]] = {
        "top_k, float64": (lambda: part.top_k(logits, 2), kept),
        "top_p, float64": (lambda: part.top_p(logits, 0.9), kept),
        "min_p, float64": (lambda: part.min_p(logits, 0.1), kept),
        "repetition_penalty, float64": (
            lambda: part.repetition_penalty(logits, previous, 2.0),
            less,
        ),
        "top_k, bfloat16": (lambda: part.top_k(half, 2), kept.bfloat16()),
        "repetition_penalty, bfloat16": (
            lambda: part.repetition_penalty(half, previous, 2.0),
            less.bfloat16(),
        ),
    }
    for case, (call, want) in cases.items():
        assert_close(call(), want, what=f"the result of {case}", **EXACT)


def check_draw(part: ModuleType) -> None:
    """draw: a seed gives the tokens that the docstring's recipe gives"""
    logits = {
        "a small vocabulary": 2 * torch.randn(12),
        "a large vocabulary of equals": torch.full((50000,), 3.0),
        "large scores": torch.tensor([999.0, 1000.0, -1000.0, 999.5]),
        "bfloat16 scores": torch.randn(12).bfloat16(),
    }
    expected = {case: drawn(scores, seed=5, times=60) for case, scores in logits.items()}
    for case, scores in logits.items():
        generator = torch.Generator().manual_seed(5)
        for number, want in enumerate(expected[case], start=1):
            what = f"draw number {number} with one generator, from {case},"
            assert_equal(part.draw(scores, generator), want, what)


def check_draw_in_float64(part: ModuleType) -> None:
    """draw: a number close to the border of two tokens falls on the right side of it"""
    cases = []
    for seed in range(20):
        u = torch.rand(1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        border = u + (1e-9 if seed % 2 else -1e-9)
        cases.append(torch.cat((torch.logit(border), torch.zeros(1, dtype=torch.float64))))
    expected = [drawn(logits, seed, times=1)[0] for seed, logits in enumerate(cases)]
    for seed, (logits, want) in enumerate(zip(cases, expected, strict=True)):
        got = part.draw(logits, torch.Generator().manual_seed(seed))
        assert_equal(got, want, f"seed {seed}, a billionth from the border: the token drawn")


def check_draw_never_takes_minus_infinity(part: ModuleType) -> None:
    """draw: minus infinity is never drawn, and a lone score always"""
    logits = torch.full((9,), -INFINITY)
    logits[[2, 6]] = torch.tensor([0.3, -0.3])
    alone = torch.where(torch.arange(9) == 4, 0.0, -INFINITY)
    expected = drawn(logits, seed=11, times=100)
    generator = torch.Generator().manual_seed(11)
    got = [part.draw(logits, generator) for _ in range(100)]
    assert_equal(got, expected, "the list drawn where only the tokens 2 and 6 are possible")
    got = [part.draw(alone, generator) for _ in range(20)]
    assert_equal(got, [4] * 20, "the list drawn where only the token 4 is possible")


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensor with new values gives a new result"""
    first, previous = torch.randn(20), torch.tensor([0, 1, 2])
    second = first.flip(0)  # the same probabilities, of other tokens
    p, ratio = nucleus_p(first, 3), ratio_p(first, 4)
    logits = torch.empty(20)
    expected = [
        (
            {
                "repetition_penalty": penalised(new, [0, 1, 2], 2.0),
                "top_k": highest(new, 5),
                "top_p": highest(new, 3),
                "min_p": highest(new, 4),
            },
            drawn(new, seed=3, times=5),
        )
        for new in (first, second)
    ]
    for new, (scores, tokens) in zip((first, second), expected, strict=True):
        logits.copy_(new)
        when = "at first" if new is first else "after the logits changed"
        got = {
            "repetition_penalty": part.repetition_penalty(logits, previous, 2.0),
            "top_k": part.top_k(logits, 5),
            "top_p": part.top_p(logits, p),
            "min_p": part.min_p(logits, ratio),
        }
        for name, want in scores.items():
            assert_close(got[name], want, what=f"{when}, the result of {name}", **EXACT)
        generator = torch.Generator().manual_seed(3)
        chosen = [part.draw(logits, generator) for _ in range(5)]
        assert_equal(chosen, tokens, f"{when}, the list of tokens drawn")


def check_bad_input(part: ModuleType) -> None:
    """Parameters out of range raise ValueError"""
    logits, previous = torch.randn(8), torch.tensor([1])
    for penalty in (0.0, -1.5):
        call = partial(part.repetition_penalty, logits, previous, penalty)
        assert_raises(ValueError, call, f"the penalty is {penalty}")
    for k in (0, -1):
        assert_raises(ValueError, partial(part.top_k, logits, k), f"k is {k}")
    for p in (0.0, -0.1, 1.1):
        assert_raises(ValueError, partial(part.top_p, logits, p), f"the p of top_p is {p}")
    for p in (-0.1, 1.1):
        assert_raises(ValueError, partial(part.min_p, logits, p), f"the p of min_p is {p}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one token's choice from a vocabulary of this size."""
    logits, previous = 3 * torch.randn(size), torch.randint(size, (500,))
    generator = torch.Generator().manual_seed(0)

    def choose() -> object:
        scores = part.repetition_penalty(logits, previous, 1.1) / 0.8
        return part.draw(part.min_p(part.top_p(part.top_k(scores, 50), 0.9), 0.05), generator)

    return choose


SIZE = 49152
