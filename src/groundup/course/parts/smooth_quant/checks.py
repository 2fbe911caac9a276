"""Checks of `groundup.quantization.smooth_quant`. Oracle: equation 4 in float64, invariants."""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises

CLOSE = {"rtol": 1e-5, "atol": 1e-9}


def oracle(largest: Tensor, weights: Sequence[Tensor], strength: float) -> Tensor:
    """Column by column."""
    found = []
    for j, x in enumerate(largest.double().tolist()):
        w = max(float(weight.double()[:, j].abs().max()) for weight in weights)
        w, floor = max(w, 1e-5), max(x, 1e-5)
        found.append(floor**strength / w ** (1 - strength) if x > 0 else 1.0)
    return torch.from_numpy(np.array(found)).float()


def case(K: int = 12) -> tuple[Tensor, list[Tensor]]:
    sizes = 10 ** (3 * torch.rand(K) - 1.5)
    return torch.rand(K) * 10 ** (2 * torch.rand(K)), [torch.randn(5, K) * sizes, torch.randn(7, K)]


def check_example(part: ModuleType) -> None:
    """An outlier by hand: inputs up to 64 and weights up to 1 become 8 and 8"""
    largest, weight = torch.tensor([64.0, 1.0]), torch.tensor([[1.0, 0.2], [-0.5, -0.25]])
    expected = torch.tensor([8.0, 2.0])
    got = part.smoothing_scale(largest, [weight])
    assert_close(got, expected, what="s of inputs (64, 1) and weights (1, 0.25)", **CLOSE)


def check_formula(part: ModuleType) -> None:
    """Equation 4, for one weight and for several that read the same input"""
    largest, weights = case()
    for some in (weights, weights[:1], weights[1:]):
        expected = oracle(largest, some, 0.5)
        got = part.smoothing_scale(largest, some)
        assert_close(got, expected, what=f"s for {len(some)} weights", **CLOSE)


def check_strength(part: ModuleType) -> None:
    """The strength: 0, where the weights are made equal, to 1, where the inputs are"""
    largest, weights = case()
    levels = (0.0, 0.25, 0.8, 1.0)
    expected = [oracle(largest, weights, level) for level in levels]
    for level, want in zip(levels, expected, strict=True):
        got = part.smoothing_scale(largest, weights, level)
        assert_close(got, want, what=f"s with strength {level}", **CLOSE)


def check_balance(part: ModuleType) -> None:
    """At one half the largest input and the largest weight of a column become equal"""
    largest, weights = case()
    heaviest = torch.cat(weights).abs().amax(0)
    expected = (largest * heaviest).sqrt()
    s = part.smoothing_scale(largest, weights)
    assert_close(largest / s, expected, what="the largest inputs afterwards", **CLOSE)
    assert_close(heaviest * s, expected, what="the largest weights afterwards", **CLOSE)


def check_product_stays(part: ModuleType) -> None:
    """Inputs divided and weights multiplied give the product that was"""
    _, (weight, _) = case()
    x = torch.randn(20, 12, dtype=torch.float64) * 10 ** torch.linspace(-1, 2, 12)
    expected = x @ weight.double().T
    s = part.smoothing_scale(x.abs().amax(0).float(), [weight]).double()
    got = (x / s) @ (weight.double() * s).T
    assert_close(got, expected, rtol=1e-9, atol=1e-9, what="the product")


def check_zeros(part: ModuleType) -> None:
    """Columns without inputs have 1; columns without weights, and tiny inputs, a number above 0"""
    largest, weight = torch.tensor([0.0, 3.0, 1e-9, 0.0]), torch.ones(2, 4)
    weight[:, 1] = 0
    weight[:, 3] = 0
    expected = oracle(largest, [weight], 0.5)
    got = part.smoothing_scale(largest, [weight])
    assert_close(got, expected, what="s of columns with zeros", **CLOSE)


def check_narrow_dtypes(part: ModuleType) -> None:
    """bfloat16 weights: s is float32, computed in float32"""
    largest, weights = case()
    narrow = [weight.bfloat16() for weight in weights]
    expected = oracle(largest, narrow, 0.5)
    got = part.smoothing_scale(largest, narrow)
    assert_close(got, expected, what="s of bfloat16 weights", **CLOSE)


def check_bad_input(part: ModuleType) -> None:
    """A strength outside 0 to 1, no weights, and columns that do not fit raise ValueError"""
    largest, weights = case(6)
    for strength in (-0.1, 1.1, float("nan")):
        call = partial(part.smoothing_scale, largest, weights, strength)
        assert_raises(ValueError, call, f"strength is {strength}")
    assert_raises(ValueError, partial(part.smoothing_scale, largest, []), "there are no weights")
    other = [weights[0], torch.ones(3, 5)]
    call = partial(part.smoothing_scale, largest, other)
    assert_raises(ValueError, call, "one weight has 5 columns of 6", "5")
    assert_equal(part.smoothing_scale(largest, weights).shape == (6,), True, "that 6 columns are 6")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: three square weights of this size."""
    largest, weights = torch.rand(size), [torch.randn(size, size) for _ in range(3)]
    return lambda: part.smoothing_scale(largest, weights)


SIZE = 576
