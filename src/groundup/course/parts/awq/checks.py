"""Checks of `groundup.quantization.awq`. Oracle: all powers tried in NumPy's float64."""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_raises

Array = NDArray[np.float64]


def rounded(w: Array, group: int) -> Array:
    groups = w.reshape(len(w), -1, group)
    minimum = groups.min(-1, keepdims=True).astype(np.float16).astype(np.float64)
    spread = groups.max(-1, keepdims=True) - minimum
    scale = np.maximum(spread / 15, 1e-7).astype(np.float16).astype(np.float64)
    levels: Array = np.rint((groups - minimum) / scale).clip(0, 15) * scale + minimum
    return levels.reshape(w.shape)


class Search:
    """The powers, each with the scale and the error of the outputs that it gives."""

    def __init__(self, inputs: Tensor, weights: Sequence[Tensor], group: int = 32) -> None:
        self.x = inputs.double().numpy()
        self.weights = [weight.double().numpy() for weight in weights]
        self.group = group
        magnitude = np.maximum(abs(self.x).mean(0), 1e-4)
        powers = [magnitude ** (step / 20) for step in range(20)]
        self.scales = [s / np.sqrt(s.max() * s.min()) for s in powers]
        self.errors = [self.error(s) for s in self.scales]

    def error(self, s: Array) -> float:
        changed = [(rounded(w * s, self.group) / s - w) @ self.x.T for w in self.weights]
        return float(sum((change**2).mean() for change in changed))

    def compare(self, got: object, what: str) -> None:
        """What is expected is the best, or another power that is as good but for a last bit."""
        order = np.argsort(self.errors, kind="stable")
        near = [i for i in order if self.errors[i] <= self.errors[order[0]] * (1 + 1e-4)]
        for i in near[1:]:
            want = torch.from_numpy(self.scales[i]).float()
            if not isinstance(got, Tensor) or got.shape != want.shape:
                break
            if torch.allclose(got.float(), want, rtol=1e-4):
                return
        best = torch.from_numpy(self.scales[order[0]]).float()
        assert_close(got, best, rtol=1e-4, atol=1e-6, what=f"{what} (the power is {order[0] / 20})")


def case(seed: int, rows: int = 48, K: int = 32) -> tuple[Tensor, list[Tensor]]:
    """Inputs of which some columns are large, and two weights that read them."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, K, generator=g) * 10 ** (torch.rand(K, generator=g) * 1.5)
    x[:, seed % K] *= 20
    return x, [torch.randn(m, K, generator=g) for m in (12, 20)]


def check_best_power(part: ModuleType) -> None:
    """Of the twenty powers the one whose outputs change least, for one weight"""
    for seed in range(4):
        x, (weight, _) = case(seed)
        search = Search(x, [weight])
        search.compare(part.awq_scale(x, [weight]), f"s of case {seed}")


def check_several_weights(part: ModuleType) -> None:
    """Weights that read the same inputs share one s: their errors are added"""
    for seed in (5, 6, 7):
        x, (first, second) = case(seed)
        weights = [0.1 * first, second * 10 ** torch.linspace(-1, 1, 32)]
        search = Search(x, weights)
        search.compare(part.awq_scale(x, weights), f"s of case {seed}")


def check_spares_large_inputs(part: ModuleType) -> None:
    """The output's error falls, and columns with large inputs get a larger s"""
    x, (weight, _) = case(8)
    search = Search(x, [weight])
    got = part.awq_scale(x, [weight])
    error = search.error(got.double().numpy())
    if not error < 0.9 * search.errors[0]:
        raise CheckFailure(f"the outputs' error is {error:.3g}: expected less than nine tenths of "
                           f"plain rounding's, {search.errors[0]:.3g}")  # fmt: skip
    order = x.abs().mean(0).argsort()
    if not bool((got[order].diff() >= 0).all()):
        raise CheckFailure("s does not rise with the inputs' mean magnitude")


def check_equal_inputs(part: ModuleType) -> None:
    """Inputs of one size: nothing to spare, s is 1; also where all inputs are zero"""
    x = torch.randn(8, 32).sign() * 3
    zeros, ones = torch.zeros(8, 32), torch.ones(32)
    weights = [torch.randn(4, 32)]
    assert_close(part.awq_scale(x, weights), ones, rtol=1e-5, atol=0, what="s of equal inputs")
    assert_close(part.awq_scale(zeros, weights), ones, rtol=1e-5, atol=0, what="s of zeros")


def check_silent_columns(part: ModuleType) -> None:
    """A column that was always zero leaves s positive and finite"""
    x, weights = case(9)
    x[:, 4] = 0
    search = Search(x, weights)
    search.compare(part.awq_scale(x, weights), "s with a silent column")


def check_group(part: ModuleType) -> None:
    """The group is the one with which the weights will be rounded"""
    for group in (8, 16):
        x, (weight, _) = case(10 + group)
        search = Search(x, [weight], group)
        search.compare(part.awq_scale(x, [weight], group=group), f"s for groups of {group}")


def check_grid(part: ModuleType) -> None:
    """The grid is the one with which the weights will be rounded"""
    x, weights = case(13)

    def fine(groups: Tensor) -> tuple[Tensor, Tensor]:  # which has every weight exactly, at 0
        return torch.full(groups.shape[:-1], 1e9), torch.zeros(groups.shape[:-1])

    search = Search(x, weights)
    order = sorted(range(20), key=search.errors.__getitem__)
    assert order[0] != 0
    # All weights become zero whatever s is: all powers are equal, and the first is taken.
    got = part.awq_scale(x, weights, grid=fine)
    assert_close(got, torch.ones(32), rtol=1e-5, atol=0, what="s for a grid of zeros alone")


def check_narrow_dtypes(part: ModuleType) -> None:
    """bfloat16 inputs and weights: s is float32, computed in float32"""
    x, (weight, _) = case(14)
    narrow, light = x.bfloat16(), weight.bfloat16()
    search = Search(narrow, [light])
    search.compare(part.awq_scale(narrow, [light]), "s of bfloat16 inputs and weights")


def check_bad_input(part: ModuleType) -> None:
    """Inputs and weights that do not fit, no weights, and groups that do not raise ValueError"""
    x, deep, weight = torch.randn(4, 32), torch.randn(2, 32, 32), torch.randn(4, 32)
    cases: dict[str, Callable[[], object]] = {
        "a weight has 31 columns": partial(part.awq_scale, x, [weight, weight[:, 1:]]),
        "there are no weights": partial(part.awq_scale, x, []),
        "the inputs have three axes": partial(part.awq_scale, deep, [weight]),
        "K is 32 and the group 24": partial(part.awq_scale, x, [weight], group=24),
    }
    for when, call in cases.items():
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a square weight of this size, and 128 inputs."""
    x, weight = torch.randn(128, size), torch.randn(size, size)
    return lambda: part.awq_scale(x, [weight])


SIZE = 256
