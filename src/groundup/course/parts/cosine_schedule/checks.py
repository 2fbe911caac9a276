"""Checks of `groundup.training.cosine_schedule`. Oracle: NumPy, a point that turns on a circle."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from groundup.course.grader.compare import assert_close, assert_raises


def oracle(steps: int, warmup: int, peak: float, floor: float) -> torch.Tensor:
    """The rates of all steps and of the one after the last."""
    rise = np.linspace(0, peak, warmup + 2)[1:-1]
    turned = np.exp(1j * np.linspace(0, np.pi, steps - warmup + 1))
    middle, half = (peak + floor) / 2, (peak - floor) / 2
    return torch.from_numpy(np.concatenate((rise, middle + half * turned.real)))


def rates(part: ModuleType, steps: int, warmup: int, peak: float, floor: float) -> torch.Tensor:
    given = [
        part.cosine_schedule(step, steps=steps, warmup=warmup, peak=peak, floor=floor)
        for step in range(steps + 1)
    ]
    return torch.tensor(given, dtype=torch.float64)


def check_without_warmup(part: ModuleType) -> None:
    """Without warm-up: every step is on the cosine"""
    expected = oracle(20, 0, 3.0, 0.0)
    assert_close(rates(part, 20, 0, 3.0, 0.0), expected, rtol=1e-9, atol=1e-12, what="the rates")


def check_warmup(part: ModuleType) -> None:
    """With warm-up: a line that begins above zero, then the cosine over the rest"""
    for steps, warmup in ((20, 5), (50, 1), (6, 5)):
        expected = oracle(steps, warmup, 1e-3, 0.0)
        what = f"the rates for steps={steps}, warmup={warmup}"
        assert_close(rates(part, steps, warmup, 1e-3, 0.0), expected, rtol=1e-9, atol=1e-15,
                     what=what)  # fmt: skip


def check_floor(part: ModuleType) -> None:
    """It falls to the floor, not to zero, and the warm-up does not know of it"""
    for floor in (0.1, 0.5, 1.0):
        expected = oracle(30, 4, 1.0, floor)
        got = rates(part, 30, 4, 1.0, floor)
        assert_close(got, expected, rtol=1e-9, atol=1e-12, what=f"the rates for floor={floor}")


def check_after_the_end(part: ModuleType) -> None:
    """From the last step on the floor stays"""
    expected = torch.tensor([0.25] * 4, dtype=torch.float64)
    later = [
        part.cosine_schedule(step, steps=10, warmup=2, peak=1.0, floor=0.25)
        for step in (10, 11, 15, 1000)
    ]
    got = torch.tensor(later, dtype=torch.float64)
    assert_close(got, expected, rtol=1e-12, atol=0, what="the rates of steps 10, 11, 15 and 1000")


def check_any_order(part: ModuleType) -> None:
    """A step's rate depends on nothing that was asked before"""
    expected = oracle(12, 3, 1.0, 0.1)
    order = [11, 0, 5, 5, 2, 12, 7]
    got = [part.cosine_schedule(s, steps=12, warmup=3, peak=1.0, floor=0.1) for s in order]
    assert_close(torch.tensor(got, dtype=torch.float64), expected[order], rtol=1e-9, atol=0,
                 what=f"the rates of the steps {order}")  # fmt: skip


def check_default_floor(part: ModuleType) -> None:
    """The floor is zero unless one is given"""
    expected = oracle(8, 0, 2.0, 0.0)
    got = [part.cosine_schedule(s, steps=8, warmup=0, peak=2.0) for s in range(9)]
    assert_close(torch.tensor(got, dtype=torch.float64), expected, rtol=1e-9, atol=1e-12,
                 what="the rates")  # fmt: skip


def check_bad_input(part: ModuleType) -> None:
    """Numbers that make no schedule raise ValueError"""

    def call(step: int = 0, steps: int = 10, warmup: int = 2, peak: float = 1.0,
             floor: float = 0.0) -> Callable[[], object]:  # fmt: skip
        return lambda: part.cosine_schedule(
            step, steps=steps, warmup=warmup, peak=peak, floor=floor
        )

    assert_raises(ValueError, call(step=-1), "step is -1")
    assert_raises(ValueError, call(warmup=-1), "warmup is -1")
    assert_raises(ValueError, call(warmup=10), "warmup is 10 of 10 steps")
    assert_raises(ValueError, call(steps=0, warmup=0), "steps is 0")
    assert_raises(ValueError, call(floor=2.0), "floor is above peak")
    assert_raises(ValueError, call(floor=-0.1), "floor is negative")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the rates of ``size`` steps."""
    return lambda: [
        part.cosine_schedule(step, steps=size, warmup=100, peak=1.0) for step in range(size)
    ]


SIZE = 10_000
