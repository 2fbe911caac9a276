"""Estimates and intervals against brute force, tables and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from groundup.evaluation.bootstrap import bootstrap_interval, bootstrap_means
from groundup.evaluation.mcnemar import mcnemar
from groundup.evaluation.pass_at_k import pass_at_k
from groundup.evaluation.wilson_interval import wilson_interval


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_choices_that_hold_a_right_one(
    n: int, data: st.DataObject
) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    samples = [True] * correct + [False] * (n - correct)
    choices = list(itertools.combinations(samples, k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_of_many_samples_is_a_number() -> None:
    exact = 1 - math.comb(99_000, 100) / math.comb(100_000, 100)
    assert pass_at_k(100_000, 1_000, 100) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 6), (5, 2, 0), (5, 6, 1), (5, -1, 1)])
def test_pass_at_k_refuses(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"needs k of 1|expected 0 to 5"):
        pass_at_k(n, c, k)


@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60)
def test_wilson_is_scipys(n: int, data: st.DataObject, confidence: float) -> None:
    right = data.draw(st.integers(0, n))
    theirs = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, n, confidence=confidence) == pytest.approx(
        (theirs.low, theirs.high), abs=1e-12
    )


@pytest.mark.parametrize(("right", "n", "c"), [(1, 0, 0.95), (3, 2, 0.95), (1, 2, 1.0)])
def test_wilson_refuses(right: int, n: int, c: float) -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(right, n, confidence=c)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(min(1.0, expected), rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_of_thousands() -> None:
    assert mcnemar(5_000, 5_200) == pytest.approx(stats.binomtest(5_000, 10_200).pvalue, rel=1e-6)
    with pytest.raises(ValueError, match="not negative"):
        mcnemar(-1, 3)


def test_bootstrap_is_every_resample_there_is() -> None:
    """Of three items there are 27 resamples: their means, by weight, have these quantiles."""
    values, weights = np.array([0.0, 1.0, 5.0]), np.array([1.0, 2.0, 4.0])
    drawn = np.array(list(itertools.product(range(3), repeat=3)))
    exact = (values * weights)[drawn].sum(1) / weights[drawn].sum(1)
    means = bootstrap_means(values, weights, resamples=200_000, seed=3)
    for level in np.unique(exact):
        assert (means <= level + 1e-12).mean() == pytest.approx(
            (exact <= level + 1e-12).mean(), abs=0.005
        )
    low, high = bootstrap_interval(values, weights, confidence=0.8, resamples=200_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(exact, [0.1, 0.9])), abs=1e-9)


def test_bootstrap_is_scipys() -> None:
    x = np.random.default_rng(0).exponential(size=80)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_interval(x, resamples=50_000)
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02 * width)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    hits = 0
    for seed in range(400):
        low, high = bootstrap_interval(random.normal(size=50), resamples=400, seed=seed)
        hits += low <= 0 <= high
    assert 0.90 < hits / 400 < 0.98


def test_bootstrap_in_pieces_is_bootstrap_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=30)
    whole = bootstrap_means(x, resamples=500)
    monkeypatch.setattr("groundup.evaluation.bootstrap.AT_ONCE", 30 * 7)
    assert np.array_equal(bootstrap_means(x, resamples=500), whole)


@pytest.mark.parametrize(
    ("values", "weights"), [([], None), ([1.0, math.nan], None), ([1, 2], [1, 0]), ([1, 2], [1])]
)
def test_bootstrap_refuses(values: list[float], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        bootstrap_interval(values, weights)
    with pytest.raises(ValueError, match="confidence is 1"):
        bootstrap_interval([1.0], confidence=1)
