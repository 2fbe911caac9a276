"""Checks of `groundup.models.sinusoidal_positions`. Oracle: NumPy in float64, invariants."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises, unchanged

FLOAT32 = {"rtol": 1e-6, "atol": 1e-6}


def oracle(positions: list[int], dim: int, halves: bool = False) -> Tensor:
    """Pair by pair, as the paper prints the formula."""
    table = np.zeros((len(positions), dim))
    for i in range(dim // 2):
        angle = np.array(positions, dtype=np.float64) / 10000 ** (2 * i / dim)
        sine, cosine = (i, dim // 2 + i) if halves else (2 * i, 2 * i + 1)
        table[:, sine], table[:, cosine] = np.sin(angle), np.cos(angle)
    return torch.from_numpy(table).float()


def check_interleaved(part: ModuleType) -> None:
    """Sine in feature 2 i, cosine in 2 i + 1, of several widths"""
    positions = list(range(50))
    expected = {dim: oracle(positions, dim) for dim in (2, 4, 6, 64)}
    for dim, want in expected.items():
        got = part.sinusoidal_positions(torch.arange(50), dim)
        assert_close(got, want, what=f"the output for dim={dim}", **FLOAT32)


def check_halves(part: ModuleType) -> None:
    """halves=True: all sines, then all cosines"""
    expected = {dim: oracle(list(range(50)), dim, True) for dim in (2, 6, 64)}
    for dim, want in expected.items():
        got = part.sinusoidal_positions(torch.arange(50), dim, halves=True)
        assert_close(got, want, what=f"the output for dim={dim}", **FLOAT32)


def check_any_positions(part: ModuleType) -> None:
    """Positions in any order, from anywhere, as in generation with a cache"""
    cases = [[7], [40, 3, 3, 0], [511, 512, 513], []]
    expected = [oracle(case, 16) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        got = part.sinusoidal_positions(torch.tensor(case, dtype=torch.long), 16)
        assert_close(got, want, what=f"the output for positions {case}", **FLOAT32)


def check_far_positions(part: ModuleType) -> None:
    """Far positions are as exact as near ones: angles are computed in float64"""
    far = [99_991, 1_000_003]
    expected = oracle(far, 32)
    assert_close(part.sinusoidal_positions(torch.tensor(far), 32), expected, rtol=0, atol=2e-6)


def check_a_shift_is_a_rotation(part: ModuleType) -> None:
    """The same rotation leads from every position to the one n later"""
    dim, n = 8, 5
    frequencies = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    turned = torch.zeros(dim, dim, dtype=torch.float64)
    for i, angle in enumerate(n * frequencies):
        turned[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = torch.tensor(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
    start = oracle(list(range(30)), dim).double()
    expected = (start @ turned.T).float()
    got = part.sinusoidal_positions(torch.arange(n, n + 30), dim)
    assert_close(got, expected, what="the vectors of the positions from 5 on", rtol=0, atol=1e-5)


def check_input_unchanged(part: ModuleType) -> None:
    """positions are not changed"""
    positions = torch.arange(9)
    with unchanged(positions=positions):
        part.sinusoidal_positions(positions, 8)


def check_bad_input(part: ModuleType) -> None:
    """A width that does not form pairs raises ValueError"""
    for dim in (0, 7, -4):
        call = lambda dim=dim: part.sinusoidal_positions(torch.arange(3), dim)  # noqa: E731
        assert_raises(ValueError, call, f"dim is {dim}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` positions of the base model's width."""
    positions = torch.arange(size)
    return lambda: part.sinusoidal_positions(positions, 512)


SIZE = 512
