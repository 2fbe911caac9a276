"""Checks of `groundup.engine.speculative_verification`. Oracles: counts, against exact shares.

A draft must leave no trace in the text. So texts are drawn with drafts of every kind, also bad
ones, and counted; a chi-squared test compares the counts with the target's own distribution.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

Shares = NDArray[np.float64]  # probabilities, which add up to 1

# Distributions of the target, and of drafts that are good, bad and worse.
TARGET = (0.45, 0.30, 0.15, 0.07, 0.03)
DRAFTS = {
    "a draft like the target": TARGET,
    "a draft near the target": (0.40, 0.35, 0.10, 0.10, 0.05),
    "a draft that knows nothing": (0.2, 0.2, 0.2, 0.2, 0.2),
    "a draft that has it the wrong way round": (0.03, 0.07, 0.15, 0.30, 0.45),
    "a draft that is too sure of the likeliest": (0.96, 0.01, 0.01, 0.01, 0.01),
    "a draft that is certain of the likeliest": (1.0, 0.0, 0.0, 0.0, 0.0),
    "a draft that is certain of the least likely": (0.0, 0.0, 0.0, 0.0, 1.0),
    "a draft that never has the likeliest": (0.0, 0.25, 0.25, 0.25, 0.25),
}


def logs(shares: Iterable[float]) -> Tensor:
    """Scores whose softmax is these shares: those of 0 are minus infinity."""
    return torch.tensor(list(shares), dtype=torch.float64).log()


def assert_shares(counts: Counter[int], shares: Sequence[float], what: str) -> None:
    """A chi-squared test, which a right solution fails once in a million seeds."""
    total = sum(counts.values())
    impossible = sorted(i for i in counts if not 0 <= i < len(shares) or not shares[i])
    if impossible:
        raise CheckFailure(f"{what} is {impossible[0]} at times: the target gives it no chance")
    expected = {i: share * total for i, share in enumerate(shares) if share}
    chi_squared = sum((counts[i] - n) ** 2 / n for i, n in expected.items())
    freedom = max(1, len(expected) - 1)
    # Wilson and Hilferty 1931: the cube root of chi-squared is nearly normal.
    limit = freedom * (1 - 2 / (9 * freedom) + 4.76 * (2 / (9 * freedom)) ** 0.5) ** 3
    if chi_squared > limit:
        worst = max(expected, key=lambda i: (counts[i] - expected[i]) ** 2 / expected[i])
        raise CheckFailure(
            f"{what} does not have the target's distribution: in {total} tries {worst} came "
            f"{counts[worst]} times, expected about {expected[worst]:.0f}"
        )


def watched(values: Sequence[Any], last: int, what: str) -> Iterator[Any]:
    """Hands the values out, and fails where one behind place ``last`` is asked for."""
    for place, value in enumerate(values):
        if place > last:
            raise CheckFailure(
                f"{what} number {place} is taken, which follows a token that was rejected: "
                f"it is that of a text that does not exist"
            )
        yield value


def check_choices(part: ModuleType) -> None:
    """verify_choices: a draft stands up to the first token that is not the target's choice"""
    for draft, choices, expected in (
        ([4, 7, 1], [4, 7, 1, 9], [4, 7, 1, 9]),
        ([4, 7, 1], [4, 7, 2, 9], [4, 7, 2]),
        ([4, 7, 1], [4, 8, 1, 9], [4, 8]),
        ([4, 7, 1], [5, 7, 1, 9], [5]),
        ([4, 4, 4], [4, 4, 4, 4], [4, 4, 4, 4]),
        ([7, 4], [4, 7, 4], [4]),  # the same tokens, a place further on
        ([3], [3, 0], [3, 0]),
        ([0], [1, 0], [1]),
        ([], [6], [6]),
    ):
        what = f"the result for draft {draft} and choices {choices}"
        assert_equal(part.verify_choices(iter(choices), draft), expected, what)


def check_choices_in_vain(part: ModuleType) -> None:
    """verify_choices: no choice is asked for behind a token that was rejected"""
    for choices, last in (([5, 7, 1, 9], 0), ([4, 8, 1, 9], 1), ([4, 7, 2, 9], 2)):
        got = part.verify_choices(watched(choices, last, "choice"), [4, 7, 1])
        what = f"the result for draft [4, 7, 1] and choices {choices}"
        assert_equal(got, choices[: last + 1], what)


def check_first_token(part: ModuleType) -> None:
    """verify_samples: the first token has the target's distribution, however bad the draft"""
    generator = torch.Generator().manual_seed(0)
    for case, shares in DRAFTS.items():
        counts: Counter[int] = Counter()
        row, proposed = logs(TARGET), logs(shares)[None]
        drafts = torch.multinomial(torch.tensor(shares), 600, replacement=True, generator=generator)
        for draft in drafts.tolist():
            counts[part.verify_samples(iter([row, row]), [draft], proposed, generator)[0]] += 1
        assert_shares(counts, TARGET, f"with {case}, the first token")


def check_as_many_accepted_as_can_be(part: ModuleType) -> None:
    """verify_samples: a token is accepted with probability min(1, p / q), and no less"""
    generator = torch.Generator().manual_seed(1)
    row = logs(TARGET)
    for case, shares in DRAFTS.items():
        proposed = logs(shares)[None]
        for token, (p, q) in enumerate(zip(TARGET, shares, strict=True)):
            if not q:
                continue
            accepted: Counter[int] = Counter()
            for _ in range(150):
                got = part.verify_samples(iter([row, row]), [token], proposed, generator)
                if len(got) == 2 and got[0] != token:
                    raise CheckFailure(f"two tokens come back, the first {got[0]}, not the draft")
                accepted[len(got) - 1] += 1
            what = f"with {case}, how many stand of a draft of token {token}, p={p} and q={q:.2f},"
            chance = min(1.0, p / q)
            assert_shares(accepted, (1 - chance, chance), what)


def check_texts(part: ModuleType) -> None:
    """verify_samples: whole texts, drafted two tokens ahead, are those of the target"""
    rng = np.random.default_rng(2)
    generator = torch.Generator().manual_seed(3)
    V, length, texts = 3, 3, 500
    for sharpness in (0.5, 3.0):
        # What comes next depends on the token before, for target and draft in different ways.
        target, drafter = (np.exp(sharpness * rng.standard_normal((V, V))) + 0.02 for _ in range(2))
        target, drafter = (x / x.sum(axis=1, keepdims=True) for x in (target, drafter))
        target_rows, draft_rows = torch.tensor(target).log(), torch.tensor(drafter).log()
        counts: Counter[int] = Counter()
        for _ in range(texts):
            text = [0]
            while len(text) <= length:
                draft: list[int] = []
                for _ in range(2):
                    before = (text + draft)[-1]
                    draft.append(int(rng.choice(V, p=drafter[before])))
                before_each = [text[-1], *draft]
                rows = (target_rows[before] for before in before_each)
                proposed = draft_rows[before_each[:2]]
                text += part.verify_samples(rows, draft, proposed, generator)
            number = 0
            for token in text[1 : length + 1]:
                number = number * V + token
            counts[number] += 1
        shares = [
            float(np.prod([target[a, b] for a, b in zip((0, *text), text, strict=False)]))
            for text in product(range(V), repeat=length)
        ]
        assert_shares(counts, shares, f"the number, to base {V}, of {length} tokens of text")


def check_agreement(part: ModuleType) -> None:
    """verify_samples: a draft that has the target's own distribution stands whole"""
    shares = torch.softmax(2 * torch.randn(4, 7, dtype=torch.float64), dim=1)
    generator = torch.Generator().manual_seed(4)
    ends: Counter[int] = Counter()
    for _ in range(200):
        draft = torch.multinomial(shares[:3], 1, generator=generator)[:, 0].tolist()
        got = part.verify_samples(iter(shares.log()), draft, shares[:3].log(), generator)
        assert_equal(got[:3], draft, "the first three of the result, where p = q at each place,")
        assert_equal(len(got), 4, "the length of the result for a draft of 3 that stands")
        ends[got[3]] += 1
    assert_shares(ends, shares[3].tolist(), "the token behind a draft that stands")


def check_rejected_in_the_middle(part: ModuleType) -> None:
    """verify_samples: what follows a rejected token is dropped, what precedes it stays"""
    generator = torch.Generator().manual_seed(5)
    certain = [logs(float(i == token) for i in range(6)) for token in range(6)]
    draft = [1, 4, 2]
    for place in range(3):
        # The target is certain as well, and of another token at one place.
        rows = [certain[t] for t in (*draft, 5)]
        rows[place] = certain[0]
        got = part.verify_samples(
            watched(rows, place, "scores"), draft, torch.stack([certain[t] for t in draft]),
            generator,
        )  # fmt: skip
        what = f"the result where the target would never choose number {place} of draft {draft}"
        assert_equal(got, [*draft[:place], 0], what)
    rows = [certain[t] for t in (*draft, 5)]
    got = part.verify_samples(
        watched(rows, 3, "scores"), draft, torch.stack([certain[t] for t in draft]), generator
    )
    assert_equal(got, [*draft, 5], f"the result where the target is certain of {draft} and then 5")


def check_the_residual_alone(part: ModuleType) -> None:
    """verify_samples: in a rejected token's place stands one that the draft has too seldom"""
    p, q = (0.1, 0.3, 0.3, 0.3), (0.7, 0.1, 0.2, 0.0)
    residual = (0.0, 2 / 6, 1 / 6, 3 / 6)  # of p - q: -0.6, 0.2, 0.1, 0.3
    generator = torch.Generator().manual_seed(6)
    counts: Counter[int] = Counter()
    p_row, q_row = logs(p), logs(q)[None]
    for _ in range(800):
        got = part.verify_samples(iter([p_row] * 2), [0], q_row, generator)
        if len(got) == 1:
            counts[got[0]] += 1
    if len(counts) < 3:
        raise CheckFailure(f"in place of a rejected token stood only {sorted(counts)}")
    assert_shares(counts, residual, "what stands in a rejected token's place")


def check_no_draft(part: ModuleType) -> None:
    """verify_samples: without a draft, one token is drawn, as `draw` draws it"""
    row = 2 * torch.randn(30)
    mass = torch.softmax(row.double(), 0).cumsum(0)
    generator = torch.Generator().manual_seed(7)
    uniform = torch.rand(40, dtype=torch.float64, generator=generator)
    expected = [int((mass <= u * mass[-1]).sum()) for u in uniform]
    generator.manual_seed(7)
    got = [part.verify_samples(iter([row]), [], row.new_empty(0, 30), generator) for _ in range(40)]
    assert_equal(got, [[token] for token in expected], "the results of 40 drafts of no token")


def check_scores_of_any_size(part: ModuleType) -> None:
    """verify_samples: large scores, other dtypes; what matters is the difference of scores"""
    generator = torch.Generator().manual_seed(8)
    for name, shift, dtype in (
        ("around 1000", 1000.0, torch.float32),
        ("around -1000", -1000.0, torch.float32),
        ("in bfloat16", 0.0, torch.bfloat16),
    ):
        row = torch.tensor([1.5, 0.0, -0.5, -float("inf")]) + shift
        shares = torch.softmax(row.to(dtype).double(), 0).tolist()
        other = torch.tensor([0.0, 1.0, 0.0, 1.0]).to(dtype)
        counts: Counter[int] = Counter()
        drafts = torch.multinomial(
            torch.softmax(other.double(), 0), 300, replacement=True, generator=generator
        )
        for draft in drafts.tolist():
            rows = iter([row.to(dtype), row.to(dtype)])
            got = part.verify_samples(rows, [draft], other[None], generator)
            counts.update(got)
        assert_shares(counts, shares, f"a token, where scores are {name},")


def check_small_differences(part: ModuleType) -> None:
    """verify_samples: distributions that differ by less than float32 tells are kept apart"""
    small = 1e-10
    p, q = logs((1 - small, small)), logs((1.0, 0.0))
    generator = torch.Generator().manual_seed(9)
    for _ in range(50):
        got = part.verify_samples(iter([p, p]), [0], q[None], generator)
        assert_equal(got, [0, 0], "the result where the draft is certain of a token with p = 1")
    p, q = logs((1 - small, small)), logs((1 - 3 * small, 3 * small))
    accepted = Counter(
        len(part.verify_samples(iter([p, p]), [1], q[None], generator)) - 1 for _ in range(300)
    )
    what = "how many stand of a draft with p = 1e-10 and q = 3e-10"
    assert_shares(accepted, (2 / 3, 1 / 3), what)
    p, q = logs((0.6, 0.4, 0.0)), logs((0.6 - small, 0.4, small))
    got = part.verify_samples(iter([p, p]), [2], q[None], generator)
    assert_equal(
        got, [0], "the result where p and q differ by 1e-10 for token 0, and 2 is rejected"
    )
    p, q = torch.tensor([[0.0, -6, -float("inf")], [0.0, -6, -7]], dtype=torch.bfloat16)
    for _ in range(20):
        got = part.verify_samples(iter([p, p]), [2], q[None], generator)
        if got not in ([0], [1]):
            what = "for scores [0, -6, -inf] in bfloat16 and the draft 2"
            raise CheckFailure(f"the result {what} is {got}: expected [0] or [1]")


def check_own_chance(part: ModuleType) -> None:
    """verify_samples: a seed gives the same result, and no other source of chance is used"""
    rows, proposed = torch.randn(4, 9), torch.randn(3, 9)
    draft = [2, 5, 8]
    state = torch.get_rng_state()
    results = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(10)
        results.append(
            [part.verify_samples(iter(rows), draft, proposed, generator) for _ in range(40)]
        )
        torch.rand(1)
    assert_equal(results[1], results[0], "the second list of results, with the same seed,")
    if len({len(result) for result in results[0]}) < 2:
        raise CheckFailure(f"the 40 results have the lengths {[len(r) for r in results[0]]}")
    if not all(type(token) is int for result in results[0] for token in result):
        raise CheckFailure("a token in the result is not an int")
    torch.set_rng_state(state)
    part.verify_samples(iter(rows), draft, proposed, torch.Generator().manual_seed(11))
    assert_equal(
        bool((torch.get_rng_state() == state).all()), True, "whether torch's own generator is left"
    )


def check_bad_input(part: ModuleType) -> None:
    """What does not fit together raises ValueError"""
    generator = torch.Generator().manual_seed(12)
    row = logs((0.5, 0.25, 0.25))
    never = logs((0.5, 0.5, 0.0))
    samples = part.verify_samples
    for call, when in (
        (partial(part.verify_choices, iter([1, 2]), [1, 2]), "2 choices come for 2 tokens"),
        (partial(part.verify_choices, iter([]), []), "no choice comes"),
        (partial(samples, iter([]), [], row.new_empty(0, 3), generator), "no scores come"),
        (
            partial(samples, iter([row]), [0], row[None], generator),
            "one row of scores comes for a token with p = q",
        ),
        (
            partial(samples, iter([row] * 3), [0, 1], row[None], generator),
            "2 tokens have 1 row of draft_scores",
        ),
        (
            partial(samples, iter([row] * 2), [0], torch.stack([row] * 2), generator),
            "1 token has 2 rows of draft_scores",
        ),
        (
            partial(samples, iter([row] * 2), [2], never[None], generator),
            "a token was drafted that its draft_scores give no chance",
        ),
    ):
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: four drafted tokens of a vocabulary of this size, which all stand."""
    rows = 3 * torch.randn(5, size)
    draft = torch.multinomial(torch.softmax(rows[:4], 1), 1)[:, 0].tolist()
    generator = torch.Generator().manual_seed(0)

    def verify() -> object:
        return part.verify_samples(iter(rows), draft, rows[:4], generator)

    return verify


SIZE = 49152
