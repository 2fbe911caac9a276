"""Checks of `groundup.models.masked_language_model`. Oracles: invariants, rates of many draws."""

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
    unchanged,
)

MASK, V = 4, 1000
EXACT = {"rtol": 0.0, "atol": 0.0}


def text(*shape: int) -> Tensor:
    return torch.randint(5, V, shape)


def mask(part: ModuleType, ids: Tensor, special: Tensor | None = None, **options: Any) -> Any:
    nothing = torch.zeros(ids.shape, dtype=torch.bool)
    special = nothing if special is None else special
    options = {"mask_id": MASK, "vocabulary": V} | options
    found = part.mask_tokens(ids, special=special, **options)
    if not isinstance(found, tuple) or len(found) != 2:
        raise CheckFailure(f"the result is {type(found).__name__}: expected corrupted, labels")
    for name, tensor in zip(("corrupted", "labels"), found, strict=True):
        if not isinstance(tensor, Tensor) or tensor.shape != ids.shape or tensor.dtype != ids.dtype:
            raise CheckFailure(
                f"{name} should be a tensor of int64, {tuple(ids.shape)}: got {tensor}"
            )
    return found


def near(count: int, n: int, p: float, what: str) -> None:
    """Within five standard deviations: one in two million fails by chance."""
    slack = 5 * (n * p * (1 - p)) ** 0.5 + 1
    if abs(count - n * p) > slack:
        raise CheckFailure(f"{what}: {count:,} of {n:,}, expected {n * p:,.0f} ± {slack:,.0f}")


def check_labels(part: ModuleType) -> None:
    """Labels are the original ids where tokens were chosen, and -100 elsewhere"""
    ids = text(8, 500)
    corrupted, labels = mask(part, ids)
    chosen = labels != -100
    if not chosen.any() or chosen.all():
        raise CheckFailure("some tokens should be chosen, and not all")
    assert_close(labels[chosen], ids[chosen], what="the labels of chosen tokens", **EXACT)
    assert_close(corrupted[~chosen], ids[~chosen], what="tokens that were not chosen", **EXACT)
    assert_equal(part.IGNORED, -100, "IGNORED")


def check_rates(part: ModuleType) -> None:
    """Of 200,000 tokens 15 % are chosen; 80 % of them masked, 10 % random, 10 % kept"""
    ids = text(400, 500)
    corrupted, labels = mask(part, ids)
    chosen = labels != -100
    n = int(chosen.sum())
    near(n, ids.numel(), 0.15, "tokens chosen")
    masked, kept = chosen & (corrupted == MASK), chosen & (corrupted == ids)
    near(int(masked.sum()), n, 0.8 + 0.1 / V, "chosen tokens that became the mask")
    near(int(kept.sum()), n, 0.1 + 0.1 / V, "chosen tokens that stayed")
    near(int((chosen & ~masked & ~kept).sum()), n, 0.1 * (1 - 2 / V), "chosen tokens made random")


def check_other_rates(part: ModuleType) -> None:
    """The rate asked for is taken: 0 chooses none, 1 all"""
    ids = text(40, 500)
    found = {rate: int((mask(part, ids, rate=rate)[1] != -100).sum()) for rate in (0.0, 0.4, 1.0)}
    assert_equal(found[0.0], 0, "tokens chosen at the rate 0")
    assert_equal(found[1.0], ids.numel(), "tokens chosen at the rate 1")
    near(found[0.4], ids.numel(), 0.4, "tokens chosen at the rate 0.4")


def check_random_tokens(part: ModuleType) -> None:
    """Random tokens come from the whole vocabulary, and each draws its own"""
    ids = torch.full((300, 500), 7)
    corrupted, labels = mask(part, ids, vocabulary=20)
    drawn = corrupted[(labels != -100) & (corrupted != MASK) & (corrupted != 7)]
    counts = torch.bincount(drawn, minlength=20).tolist()
    for token in (0, 1, 12, 19):
        near(counts[token], len(drawn), 1 / 18, f"random tokens that are {token}")
    assert_equal(counts[20:], [], "random tokens beyond the vocabulary")


def check_choices_are_independent(part: ModuleType) -> None:
    """Neighbours, and the same place in other texts, are chosen independently"""
    ids = text(400, 500)
    chosen = mask(part, ids)[1] != -100
    pairs = int((chosen[:, 1:] & chosen[:, :-1]).sum())
    near(pairs, chosen[:, 1:].numel(), 0.15**2, "pairs of neighbours chosen together")
    pairs = int((chosen[1:] & chosen[:-1]).sum())
    near(pairs, chosen[1:].numel(), 0.15**2, "the same places of two texts chosen together")


def check_special_tokens(part: ModuleType) -> None:
    """Special tokens are never chosen, and never changed"""
    ids = text(20, 300)
    special = torch.rand(20, 300) < 0.3
    corrupted, labels = mask(part, ids, special, rate=1.0)
    assert_close(corrupted[special], ids[special], what="special tokens", **EXACT)
    assert_equal(labels[special].unique().tolist(), [-100], "the labels of special tokens")
    assert_close(labels[~special], ids[~special], what="labels of the others at rate 1", **EXACT)


def check_generator(part: ModuleType) -> None:
    """The same generator gives the same choice; without one, torch's own is used"""
    ids = text(4, 50)
    runs = [mask(part, ids, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert_close(runs[1][0], runs[0][0], what="with the same seed, the corrupted ids", **EXACT)
    assert_close(runs[1][1], runs[0][1], what="with the same seed, the labels", **EXACT)
    free = [mask(part, ids)[1] for _ in range(2)]
    for name, a, b in (("two seeds", runs[0][1], runs[2][1]), ("two calls without one", *free)):
        if torch.equal(a, b):
            raise CheckFailure(f"{name} choose the same tokens")


def check_input_unchanged(part: ModuleType) -> None:
    """ids and special are not changed"""
    ids, special = text(4, 50), torch.rand(4, 50) < 0.2
    with unchanged(ids=ids, special=special):
        mask(part, ids, special, rate=0.9)


def check_bad_input(part: ModuleType) -> None:
    """Rates, ids and shapes out of their range raise ValueError"""
    ids = text(2, 9)
    good = torch.zeros(2, 9, dtype=torch.bool)
    cases: dict[str, dict[str, Any]] = {
        "special has another shape": {"special": good[:1]},
        "special is int64": {"special": good.long()},
        "the rate is 1.5": {"special": good, "rate": 1.5},
        "the rate is -0.1": {"special": good, "rate": -0.1},
        "mask_id is the vocabulary's size": {"special": good, "mask_id": V},
        "mask_id is negative": {"special": good, "mask_id": -1},
    }
    for when, case in cases.items():
        options = {"mask_id": MASK, "vocabulary": V} | case
        call = lambda options=options: part.mask_tokens(ids, **options)  # noqa: E731
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` texts of 512 tokens."""
    ids = text(size, 512)
    special = torch.zeros(ids.shape, dtype=torch.bool)
    return lambda: part.mask_tokens(ids, mask_id=MASK, vocabulary=V, special=special)


SIZE = 32
