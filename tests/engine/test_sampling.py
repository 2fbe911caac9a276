"""Sampling against plain NumPy in float64, and the drawn tokens' distribution against softmax."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine.penalties import presence_frequency_penalty
from groundup.engine.sampler import Sampler
from groundup.engine.sampling import draw, min_p, repetition_penalty, top_k, top_p
from groundup.engine.sampling_params import SamplingParams

Array = NDArray[np.float64]
NOTHING_SEEN = torch.empty(0, dtype=torch.int64)
TEN = torch.tensor([0.3, -1.2, 1.1, 0.0, 2.0, -0.4, 0.9, -2.0, 1.5, 0.6])
BOUNDARY = 1e-4  # nearer to a filter's limit, float32 may decide either way


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max())
    shares: Array = weights / weights.sum()
    return shares


def keeps_p(scores: Array, p: float) -> NDArray[np.bool_]:
    """By sorting and adding up. Skips a case that rounding would decide."""
    shares = softmax(scores)
    total, lowest = 0.0, 0.0
    for lowest in np.sort(shares)[::-1]:
        total += lowest
        assume(abs(total - p) > BOUNDARY)
        if total > p:
            break
    kept: NDArray[np.bool_] = shares >= lowest * (1 - 1e-12)
    return kept


def keeps_min(scores: Array, p: float) -> NDArray[np.bool_]:
    ratios = np.exp(scores - scores.max())
    assume(not ((abs(ratios - p) < BOUNDARY) & (ratios < 1)).any())
    kept: NDArray[np.bool_] = ratios >= p
    return kept


def chosen(logits: Tensor, previous: list[int], params: SamplingParams, u: float) -> int:
    """The whole choice, with one uniform number."""
    scores = logits.double().numpy().copy()
    for token in set(previous):
        factor = params.repetition_penalty
        scores[token] *= 1 / factor if scores[token] > 0 else factor
    scores /= params.temperature
    if params.top_k:
        scores[scores < np.sort(scores)[::-1][: params.top_k][-1]] = -np.inf
    if params.top_p < 1:
        scores[~keeps_p(scores, params.top_p)] = -np.inf
    if params.min_p:
        scores[~keeps_min(scores, params.min_p)] = -np.inf
    mass = np.cumsum(softmax(scores))
    assume(abs(mass - u).min() > BOUNDARY)
    return int(np.argmax(mass > u))


# Quarters, so that scores are often equal. A score of -200 has the probability zero in float32.
scores_lists = st.lists(
    st.one_of(st.integers(-24, 24).map(lambda n: n / 4), st.sampled_from([float("-inf"), -200.0])),
    min_size=1,
    max_size=12,
).filter(lambda scores: max(scores) > float("-inf"))


def finite(logits: Tensor) -> list[bool]:
    return (logits > float("-inf")).tolist()


@settings(deadline=None)
@given(scores_lists, st.integers(1, 15))
def test_top_k_keeps_the_k_highest_and_their_equals(scores: list[float], k: int) -> None:
    logits = torch.tensor(scores)
    result = top_k(logits, k)
    lowest = sorted(scores, reverse=True)[:k][-1]
    assert result.tolist() == [s if s >= lowest else float("-inf") for s in scores]


@settings(max_examples=300, deadline=None)
@given(scores_lists, st.floats(0.001, 0.999))
def test_top_p_keeps_what_sorting_and_adding_up_keeps(scores: list[float], p: float) -> None:
    logits = torch.tensor(scores)
    want = keeps_p(np.array(scores), p)
    result = top_p(logits, p)
    assert finite(result) == want.tolist()
    assert torch.equal(result[want], logits[want])


@settings(deadline=None)
@given(scores_lists, st.floats(0, 1))
def test_min_p_compares_with_the_most_likely(scores: list[float], p: float) -> None:
    logits = torch.tensor(scores)
    want = keeps_min(np.array(scores), p) & np.isfinite(scores)
    result = min_p(logits, p)
    assert finite(result) == want.tolist()
    assert torch.equal(result[want], logits[want])


@settings(deadline=None)
@given(scores_lists)
def test_limits_that_keep_all_change_nothing(scores: list[float]) -> None:
    logits = torch.tensor(scores)
    for result in (top_k(logits, len(scores)), top_p(logits, 1.0), min_p(logits, 0.0)):
        assert torch.equal(result, logits)
    assert torch.equal(repetition_penalty(logits, torch.arange(len(scores)), 1.0), logits)


def test_the_scores_are_not_changed() -> None:
    logits = TEN.clone()
    repetition_penalty(logits, torch.arange(5), 1.5)
    top_k(logits, 2)
    top_p(logits, 0.5)
    min_p(logits, 0.5)
    draw(logits, torch.Generator())
    assert torch.equal(logits, TEN)


@pytest.mark.parametrize("penalty", [0.0, -1.0])
def test_the_penalty_must_be_positive(penalty: float) -> None:
    with pytest.raises(ValueError, match=f"^penalty must be positive, got {penalty}$"):
        repetition_penalty(TEN, NOTHING_SEEN, penalty)


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_at_least_one(k: int) -> None:
    with pytest.raises(ValueError, match=f"^k must be at least 1, got {k}$"):
        top_k(TEN, k)


@pytest.mark.parametrize(
    ("function", "p", "expected"),
    [
        (top_p, 0.0, "above 0 and at most 1"),
        (top_p, 1.01, "above 0 and at most 1"),
        (min_p, -0.01, "from 0 to 1"),
        (min_p, 1.01, "from 0 to 1"),
    ],
)
def test_p_must_be_a_probability(
    function: Callable[[Tensor, float], Tensor], p: float, expected: str
) -> None:
    with pytest.raises(ValueError, match=f"^p must be {expected}, got {p}$"):
        function(TEN, p)


def test_the_nucleus_of_a_flat_distribution_is_complete() -> None:
    """More tokens than the highest few that are looked at first."""
    logits = torch.zeros(2000)
    logits[1500:] = -3
    high = 1500 / (1500 + 500 * np.exp(-3))
    assert finite(top_p(logits, high - 0.01)) == [True] * 1500 + [False] * 500
    assert finite(top_p(logits, high + 0.01)) == [True] * 2000


@settings(deadline=None)
@given(scores_lists, st.data(), st.floats(0.5, 2))
def test_the_penalty_makes_seen_tokens_less_likely_once(
    scores: list[float], data: st.DataObject, penalty: float
) -> None:
    previous = data.draw(st.lists(st.integers(0, len(scores) - 1), max_size=20))
    ids = torch.tensor(previous, dtype=torch.int64)
    result = repetition_penalty(torch.tensor(scores, dtype=torch.float64), ids, penalty).tolist()
    for token, (before, after) in enumerate(zip(scores, result, strict=True)):
        if token not in previous:
            assert after == before
        else:
            assert after == (before / penalty if before > 0 else before * penalty)


def chi_square(counts: Array, shares: Array) -> float:
    expected = shares * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


# The 99.9 % quantile of the chi-square distribution with 9 degrees of freedom is 27.88.
LIMIT = 27.88


def counted(logits: Tensor, draws: int) -> Array:
    generator = torch.Generator().manual_seed(20)
    tokens = [draw(logits, generator) for _ in range(draws)]
    return np.bincount(tokens, minlength=len(logits)).astype(np.float64)


def test_draws_are_distributed_as_softmax() -> None:
    shares = softmax(TEN.double().numpy())
    counts = counted(TEN, 10_000)
    assert chi_square(counts, shares) < LIMIT
    # The test can tell: a distribution at another temperature is far outside.
    assert chi_square(counts, softmax(TEN.double().numpy() / 1.1)) > 2 * LIMIT


def test_a_sampler_draws_from_the_scores_divided_by_the_temperature() -> None:
    sampler = Sampler(SamplingParams(temperature=0.5, seed=3))
    tokens = [sampler(TEN / 2, NOTHING_SEEN) for _ in range(10_000)]
    counts = np.bincount(tokens, minlength=10).astype(np.float64)
    assert chi_square(counts, softmax(TEN.double().numpy())) < LIMIT


def test_minus_infinity_is_never_drawn() -> None:
    logits = torch.full((10,), float("-inf"))
    logits[[3, 8]] = torch.tensor([1.0, 0.5])
    counts = counted(logits, 1000)
    assert set(np.flatnonzero(counts)) == {3, 8}


def test_one_draw_takes_one_number() -> None:
    generator = torch.Generator().manual_seed(8)
    draw(TEN, generator)
    after = torch.rand(1, dtype=torch.float64, generator=generator)
    plain = torch.rand(2, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    assert after.item() == plain[1].item()


def tokens_of(params: SamplingParams, n: int = 40) -> list[int]:
    sampler = Sampler(params)
    return [sampler(TEN, NOTHING_SEEN) for _ in range(n)]


def test_a_seed_decides_the_tokens() -> None:
    first = tokens_of(SamplingParams(temperature=1, seed=1))
    assert tokens_of(SamplingParams(temperature=1, seed=1)) == first
    assert tokens_of(SamplingParams(temperature=1, seed=2)) != first


def test_two_samplers_do_not_share_numbers() -> None:
    alone = tokens_of(SamplingParams(temperature=1, seed=1))
    one, other = (Sampler(SamplingParams(temperature=1, seed=seed)) for seed in (1, 2))
    mixed = [(one(TEN, NOTHING_SEEN), other(TEN, NOTHING_SEEN))[0] for _ in range(40)]
    assert mixed == alone


def test_without_a_seed_every_request_differs() -> None:
    params = SamplingParams(temperature=1)
    assert tokens_of(params) != tokens_of(params)


def test_temperature_zero_is_greedy_and_draws_nothing() -> None:
    sampler = Sampler(SamplingParams(temperature=0, top_k=3, top_p=0.5, seed=1))
    before = sampler.generator.get_state()
    assert [sampler(TEN, NOTHING_SEEN) for _ in range(20)] == [4] * 20
    assert torch.equal(sampler.generator.get_state(), before)


def test_greedy_choice_heeds_the_penalty() -> None:
    greedy = Sampler(SamplingParams(repetition_penalty=1.5))
    assert greedy(TEN, torch.tensor([4, 4])) == 8  # 2.0 / 1.5 is below 1.5


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.integers(-16, 16).map(lambda n: n / 4), min_size=2, max_size=10),
    st.lists(st.integers(0, 1), max_size=5),
    st.builds(
        SamplingParams,
        temperature=st.sampled_from([0.4, 1.0, 1.7]),
        top_k=st.integers(0, 6),
        top_p=st.floats(0.05, 1),
        min_p=st.floats(0, 0.9),
        repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
        seed=st.integers(0, 1000),
    ),
)
def test_the_whole_choice_equals_the_plain_one(
    scores: list[float], previous: list[int], params: SamplingParams
) -> None:
    assert params.seed is not None
    logits = torch.tensor(scores)
    generator = torch.Generator().manual_seed(params.seed)
    u = torch.rand(1, dtype=torch.float64, generator=generator).item()
    want = chosen(logits, previous, params, u)
    assert Sampler(params)(logits, torch.tensor(previous, dtype=torch.int64)) == want


PROBABILITIES = (0.4, 0.3, 0.2, 0.1)


@pytest.mark.parametrize(
    ("params", "previous", "expected"),
    [
        # The penalty first: token 0 falls behind the others, and out of the two highest.
        (SamplingParams(temperature=1, top_k=2, repetition_penalty=9), [0], {1, 2}),
        # Temperature before top-p: 0.4 and 0.3 become 0.64 and 0.25 at a quarter.
        (SamplingParams(temperature=1, top_p=0.75), [], {0, 1, 2}),
        (SamplingParams(temperature=0.25, top_p=0.75), [], {0, 1}),
        # Top-k before top-p: of two tokens the first has 0.571, more than 0.5.
        (SamplingParams(temperature=1, top_k=2, top_p=0.5), [], {0}),
        (SamplingParams(temperature=1, top_p=0.5), [], {0, 1}),
        # Top-p before min-p: after min-p (of 0.4 and 0.3) the first would reach 0.5 alone.
        (SamplingParams(temperature=1, top_p=0.5, min_p=0.6), [], {0, 1}),
    ],
)
def test_the_filters_come_in_their_order(
    params: SamplingParams, previous: list[int], expected: set[int]
) -> None:
    # Raised above zero, where the penalty divides.
    logits = torch.tensor(PROBABILITIES).log() + 3
    sampler = Sampler(params)
    ids = torch.tensor(previous, dtype=torch.int64)
    assert {sampler(logits, ids) for _ in range(300)} == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", -0.1, "0 or more"),
        ("temperature", float("nan"), "0 or more"),
        ("top_k", -1, "0 \\(keep all\\) or more"),
        ("top_p", 0.0, "above 0 and at most 1"),
        ("top_p", 1.01, "above 0 and at most 1"),
        ("min_p", -0.01, "from 0 to 1"),
        ("min_p", 1.01, "from 0 to 1"),
        ("repetition_penalty", 0.0, "above 0"),
        ("presence_penalty", -2.1, "from -2 to 2"),
        ("presence_penalty", float("nan"), "from -2 to 2"),
        ("frequency_penalty", 2.1, "from -2 to 2"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be {expected}, got {value}$"):
        SamplingParams(**{name: value})  # type: ignore[arg-type]


def test_the_limits_of_parameters_are_accepted() -> None:
    SamplingParams(temperature=0, top_k=0, top_p=1, min_p=0, repetition_penalty=0.01)
    SamplingParams(min_p=1, top_p=1e-6)
    SamplingParams(presence_penalty=-2, frequency_penalty=2, logit_bias=((0, -100), (1, 100)))


@pytest.mark.parametrize("bias", [-100.1, 100.1, float("nan")])
def test_a_bias_out_of_range_is_refused(bias: float) -> None:
    expected = f"^logit_bias of token 7 must be from -100 to 100, got {bias}$"
    with pytest.raises(ValueError, match=expected):
        SamplingParams(logit_bias=((3, 1.0), (7, bias)))


@settings(deadline=None)
@given(
    st.lists(st.integers(-16, 16).map(lambda n: n / 4), min_size=2, max_size=8),
    st.data(),
    st.integers(-8, 8).map(lambda n: n / 4),
    st.integers(-8, 8).map(lambda n: n / 4),
)
def test_presence_and_frequency_are_taken_off(
    scores: list[float], data: st.DataObject, presence: float, frequency: float
) -> None:
    generated = data.draw(st.lists(st.integers(0, len(scores) - 1), max_size=20))
    logits = torch.tensor(scores)
    ids = torch.tensor(generated, dtype=torch.int64)
    result = presence_frequency_penalty(logits, ids, presence, frequency)
    assert logits.tolist() == scores
    assert result.tolist() == [
        score - presence * (token in generated) - frequency * generated.count(token)
        for token, score in enumerate(scores)
    ]


def test_presence_and_frequency_count_the_answer_and_not_the_prompt() -> None:
    greedy = Sampler(SamplingParams(presence_penalty=0.4, frequency_penalty=0.2))
    ids = [4, 4, 4, 8]  # the prompt repeats the two highest
    chosen = []
    for _ in range(4):
        chosen.append(greedy(TEN, torch.tensor(ids)))
        ids.append(chosen[-1])
    # 2.0, then 1.4 after one: 8 with 1.5 leads; then 1.4 against 0.9 and 1.1; then 1.2 and 1.1.
    assert chosen == [4, 8, 4, 4]


def test_the_bias_is_added_before_the_choice() -> None:
    def greedy(*bias: tuple[int, float]) -> int:
        return Sampler(SamplingParams(logit_bias=bias))(TEN, NOTHING_SEEN)

    assert greedy((8, 0.4)) == 4
    assert greedy((8, 0.6)) == 8
    assert greedy((4, -100), (8, -100)) == 2
    # At half the temperature a bias counts double: it comes before.
    sampler = Sampler(SamplingParams(temperature=0.5, seed=5, logit_bias=((7, 3.0), (4, -1.0))))
    counts = np.bincount([sampler(TEN, NOTHING_SEEN) for _ in range(10_000)], minlength=10)
    biased = TEN.double().numpy().copy()
    biased[7] += 3
    biased[4] -= 1
    assert chi_square(counts.astype(np.float64), softmax(biased / 0.5)) < LIMIT
