"""Checks of `groundup.quantization.grouped_int4`. Oracle: the definition in NumPy."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

EXACT = {"rtol": 0.0, "atol": 0.0}


def oracle_grid(groups: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    minimum = groups.min(-1).astype(np.float16).astype(np.float32)
    scale = np.maximum((groups.max(-1) - minimum) / 15, 1e-7)
    return scale.astype(np.float16).astype(np.float32), minimum


def uneven(*shape: int) -> Tensor:
    """Numbers whose groups differ in size and place."""
    sizes = 10.0 ** (torch.rand(shape[0], 1) * 4 - 3)
    return torch.randn(*shape) * sizes + torch.randn(shape[0], 1) * sizes


def check_grouped(part: ModuleType) -> None:
    """grouped: neighbours of a row together, in float32"""
    weight = torch.arange(24.0).view(2, 12).bfloat16()
    expected = torch.arange(24.0).view(2, 3, 4)
    assert_close(part.grouped(weight, 4), expected, what="the groups of 4", **EXACT)
    assert_close(part.grouped(weight, 12), expected.view(2, 1, 12), what="one group", **EXACT)


def check_grid(part: ModuleType) -> None:
    """grid: the lowest number, and a fifteenth of the way to the highest, as float16 has them"""
    groups = uneven(5, 96).view(5, 3, 32)
    expected = [torch.from_numpy(x) for x in oracle_grid(groups.numpy())]
    scale, minimum = part.grid(groups)
    assert_close(minimum, expected[1], what="the minimum", **EXACT)
    # A last bit before float16 may be another number in it.
    assert_close(scale, expected[0], rtol=2**-10, atol=0, what="the scale")
    assert_close(scale.half().float(), scale, what="the scale in float16", **EXACT)


def check_grid_of_equal_numbers(part: ModuleType) -> None:
    """grid: a group of equal numbers has a scale that is positive"""
    groups = torch.tensor([[0.0] * 4, [0.5] * 4, [-3.0] * 4])
    expected = torch.tensor([0.0, 0.5, -3.0])
    scale, minimum = part.grid(groups)
    assert_close(minimum, expected, what="the minimum", **EXACT)
    assert_equal(bool((scale > 0).all()), True, "that scales are positive")
    assert_close(scale, torch.full((3,), 1e-7), rtol=0.3, atol=0, what="the scale")


def check_round_to_grid(part: ModuleType) -> None:
    """round_to_grid: the nearest of the levels 0 to 15, also for numbers outside them"""
    x = torch.linspace(-2.9, 4.9, 157)
    scale, minimum = torch.tensor([0.25]), torch.tensor([-1.0])
    levels = np.float64(-1.0) + 0.25 * np.arange(16)
    expected = torch.from_numpy(abs(x.double().numpy()[:, None] - levels).argmin(1))
    got = part.round_to_grid(x, scale, minimum)
    assert_close(got, expected.to(torch.uint8), what="the levels", **EXACT)
    rows = part.round_to_grid(x.expand(2, -1), torch.tensor([[0.25], [1.0]]), minimum)
    assert_close(rows[0], expected.to(torch.uint8), what="the first of two rows", **EXACT)


def check_of(part: ModuleType) -> None:
    """of: each weight is off by half a step of its own group at most"""
    weight = uneven(6, 96)
    for group in (32, 16, 96):
        scale, minimum = oracle_grid(weight.view(6, -1, group).numpy())
        exact = weight.double().view(6, -1, group)
        made = part.GroupedInt4.of(weight, group)
        what = f"in groups of {group}"
        assert_close(made.minimum, torch.from_numpy(minimum), what=f"the minimum {what}", **EXACT)
        assert_close(made.scale, torch.from_numpy(scale), rtol=2**-10, atol=0,
                     what=f"the scale {what}")  # fmt: skip
        if made.q.shape != weight.shape or made.q.dtype != torch.uint8 or made.q.max() > 15:
            raise CheckFailure(f"q {what} is {made.q}: expected (6, 96) uint8, 0 to 15")
        levels = made.q.double().view(6, -1, group) * made.scale.double()[..., None]
        error = (levels + made.minimum.double()[..., None] - exact).abs()
        steps = error / made.scale.double()[..., None]
        # Half a step; and what float16 makes of minimum and scale can leave the ends outside.
        slack = 2**-10 * exact.abs().amax(-1, keepdim=True) / made.scale.double()[..., None]
        assert_equal(bool((steps <= 0.5 + 2 * slack + 0.01).all()), True,
                     f"that {what} each weight is half a step away at most")  # fmt: skip


def check_other_grid(part: ModuleType) -> None:
    """of: another choice of levels is taken as it is, also with a scale below zero"""
    weight = torch.randn(2, 64)
    levels = (torch.full((2, 4), -0.25), torch.full((2, 4), 2.0))
    values = np.float64(2.0) - 0.25 * np.arange(16)
    nearest = abs(weight.double().numpy()[..., None] - values).argmin(-1)
    expected = torch.from_numpy(values[nearest]).float()
    made = part.GroupedInt4.of(weight, 16, lambda groups: levels)
    assert_close(made.dequantize(), expected, rtol=1e-6, atol=1e-6, what="the matrix")


def check_default_group(part: ModuleType) -> None:
    """of: 32 weights share a scale where nothing else is said; the weight may be bfloat16"""
    made = part.GroupedInt4.of(uneven(4, 128).bfloat16())
    assert_equal(tuple(made.scale.shape), (4, 4), "the scale's shape for a weight (4, 128)")
    assert_equal(made.group, 32, "the group")


def check_dequantize(part: ModuleType) -> None:
    """dequantize: q times scale plus minimum, float32; group: weights that share a scale"""
    q = torch.randint(16, (3, 24), dtype=torch.uint8)
    scale, minimum = torch.rand(3, 4), torch.randn(3, 4)
    steps, lowest = scale.numpy().repeat(6, 1), minimum.numpy().repeat(6, 1)
    expected = torch.from_numpy(q.numpy() * steps + lowest)
    made = part.GroupedInt4(q, scale, minimum)
    assert_close(made.dequantize(), expected, rtol=1e-6, atol=1e-6, what="the matrix")
    assert_equal(made.group, 6, "the group")


def check_levels_stay(part: ModuleType) -> None:
    """What lies on a group's levels comes back as it was"""
    steps = torch.tensor([0.5, 0.125, 2.0]).repeat_interleave(16)
    weight = (torch.cat([torch.randperm(16) for _ in range(3)]) - 5) * steps
    expected = weight.expand(2, -1).clone()
    got = part.GroupedInt4.of(expected.clone(), 16).dequantize()
    assert_close(got, expected, what="the matrix", **EXACT)


def check_bad_input(part: ModuleType) -> None:
    """A row that is not whole groups, NaN, infinity, and beyond float16 raise ValueError"""
    weight = torch.ones(2, 48)
    for group in (32, 0, -16):
        call = partial(part.GroupedInt4.of, weight, group)
        assert_raises(ValueError, call, f"a weight (2, 48) is to be in groups of {group}", "48")
    for bad in (float("nan"), float("inf")):
        broken = torch.ones(2, 32)
        broken[1, 3] = bad
        assert_raises(ValueError, partial(part.GroupedInt4.of, broken), f"it holds {bad}")
        assert_raises(ValueError, partial(part.grouped, broken, 32), f"grouped: it holds {bad}")
    large = torch.full((1, 32), -7e4)
    assert_raises(ValueError, partial(part.GroupedInt4.of, large), "a minimum is -70,000", "65,504")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a square weight of this size, there and back."""
    weight = torch.randn(size, size)
    return lambda: part.GroupedInt4.of(weight).dequantize()


SIZE = 512
