"""8-bit integers: rounding to the nearest, exact products, outliers that stay floats."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.quantization.absmax import absmax_quantize
from groundup.quantization.llm_int8 import LlmInt8Matrix
from groundup.quantization.smooth_quant import smoothing_scale


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 1000))
def test_each_number_is_off_by_half_a_step_at_most(rows: int, columns: int, seed: int) -> None:
    x = normal(rows, columns, seed=seed) * 10.0 ** (seed % 7 - 3)
    q, scale = absmax_quantize(x)
    assert q.abs().amax(1).eq(127).all()  # of every row, and no -128
    assert ((q * scale - x).abs() <= scale * 0.5001).all()


def test_zeros_stay_zeros() -> None:
    q, scale = absmax_quantize(torch.zeros(2, 3))
    assert not q.any()
    assert scale.gt(0).all()


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_products_are_those_of_the_rounded_factors(rows: int) -> None:
    """In float64: sums of products of integers are exact."""
    x, weight = normal(rows, 96), normal(24, 96, seed=1)
    q, scale = absmax_quantize(x)
    p, other = absmax_quantize(weight)
    expected = (q.double() @ p.double().T) * scale * other.T
    torch.testing.assert_close(LlmInt8Matrix.of(weight)(x), expected.float(), rtol=1e-6, atol=1e-6)


def test_outliers_cost_the_others_nothing() -> None:
    x, weight = normal(20, 128), normal(32, 128, seed=1)
    x[:, [3, 90]] *= 60
    q, scale = absmax_quantize(weight)
    exact = x.double() @ (q * scale).double().T  # the weights' own rounding is another matter
    with_them, without = (
        (LlmInt8Matrix.of(weight, threshold)(x) - exact).abs().mean().item()
        for threshold in (torch.inf, 6.0)
    )
    assert without < with_them / 10


def test_an_outlier_is_six_or_more() -> None:
    """Beside 6 in another column, 0.02 rounds to nothing unless that column is left out."""
    x, weight = torch.full((3, 16), 0.02), torch.ones(2, 16)
    for largest, expected in ((6.0, 6.3), (5.99, 5.99)):
        x[1, 4] = largest
        torch.testing.assert_close(
            LlmInt8Matrix.of(weight)(x)[1], torch.full((2,), expected), rtol=1e-3, atol=1e-3
        )


def test_what_does_not_fit() -> None:
    matrix = LlmInt8Matrix.of(normal(4, 8))
    with pytest.raises(ValueError, match="x has 7 columns, the weight 8"):
        matrix(normal(2, 7))
    with pytest.raises(ValueError, match="NaN"):
        matrix(torch.full((1, 8), torch.nan))
    with pytest.raises(ValueError, match="positive"):
        LlmInt8Matrix.of(normal(4, 8), threshold=0)


def test_smoothing_shares_the_outliers_out() -> None:
    x, weight = normal(50, 64), normal(16, 64, seed=1)
    x[:, 5] *= 100
    x[:, 9] = 0
    scale = smoothing_scale(x.abs().amax(0), [weight, normal(8, 64, seed=2)])
    smooth, heavy = x / scale, weight * scale
    torch.testing.assert_close(smooth @ heavy.T, x @ weight.T, rtol=1e-4, atol=1e-4)
    assert scale[9] == 1
    exact = x.double() @ weight.double().T
    plain, smoothed = (
        (LlmInt8Matrix.of(w, torch.inf)(rows) - exact).abs().mean().item()
        for rows, w in ((x, weight), (smooth, heavy))
    )
    assert smoothed < plain / 2
    # Equation 4 at one half: the largest of both sides are the same.
    both = torch.stack([weight, normal(8, 64, seed=2).repeat(2, 1)]).abs().amax((0, 1))
    torch.testing.assert_close((x.abs().amax(0) / scale)[:9], (both * scale)[:9])


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_smoothing_moves_as_much_as_it_is_told(strength: float) -> None:
    """All of the inputs' size to the weights, or all of the weights' to the inputs."""
    x, weight = normal(50, 32) * 7, normal(16, 32, seed=1)
    scale = smoothing_scale(x.abs().amax(0), [weight], strength)
    one = (x / scale if strength else weight * scale).abs().amax(0)
    torch.testing.assert_close(one, torch.ones(32))
