"""Checks of `groundup.training.wsd_schedule`. Oracle: the definition, phase by phase, in NumPy."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from groundup.course.grader.compare import assert_close, assert_raises

EXACT = {"rtol": 1e-12, "atol": 1e-15}


def oracle(steps: int, warmup: int, decay: int, peak: float, count: int) -> torch.Tensor:
    """The three phases joined, and zeros after the end."""
    rise = peak * np.arange(1, warmup + 1) / (warmup + 1)
    stay = np.full(steps - warmup - decay, peak)
    fall = peak * (1 - np.arange(decay) ** 0.5 / max(1, decay) ** 0.5)
    after = np.full(count - steps, 0.0 if decay else peak)
    return torch.from_numpy(np.concatenate((rise, stay, fall, after)))


def rates(part: ModuleType, steps: int, warmup: int, decay: int, peak: float,
          count: int) -> torch.Tensor:  # fmt: skip
    given = [
        part.wsd_schedule(step, steps=steps, warmup=warmup, decay=decay, peak=peak)
        for step in range(count)
    ]
    return torch.tensor(given, dtype=torch.float64)


def check_three_phases(part: ModuleType) -> None:
    """Warm-up, plateau and decay, step by step"""
    for steps, warmup, decay in ((20, 4, 6), (100, 10, 20), (9, 1, 2)):
        expected = oracle(steps, warmup, decay, 3e-4, steps)
        what = f"the rates for steps={steps}, warmup={warmup}, decay={decay}"
        got = rates(part, steps, warmup, decay, 3e-4, steps)
        assert_close(got, expected, what=what, rtol=1e-12, atol=1e-18)


def check_no_plateau(part: ModuleType) -> None:
    """Warm-up and decay may touch"""
    expected = oracle(10, 4, 6, 1.0, 10)
    assert_close(rates(part, 10, 4, 6, 1.0, 10), expected, what="the rates", **EXACT)


def check_no_warmup(part: ModuleType) -> None:
    """Without warm-up the first step has the peak; a decay over all steps begins there"""
    for decay in (5, 10):
        expected = oracle(10, 0, decay, 2.0, 10)
        what = f"the rates for decay={decay}"
        assert_close(rates(part, 10, 0, decay, 2.0, 10), expected, what=what, **EXACT)


def check_no_decay(part: ModuleType) -> None:
    """Without decay the plateau stays, also after the end"""
    expected = oracle(10, 3, 0, 1.0, 14)
    assert_close(rates(part, 10, 3, 0, 1.0, 14), expected, what="the rates", **EXACT)


def check_after_the_end(part: ModuleType) -> None:
    """After the decay the rate is zero"""
    expected = oracle(12, 2, 5, 1.0, 20)
    assert_close(rates(part, 12, 2, 5, 1.0, 20), expected, what="the rates", **EXACT)


def check_before_the_decay_the_end_is_unknown(part: ModuleType) -> None:
    """Until the decay begins, a longer training has the same rates"""
    expected = oracle(60, 5, 10, 1.0, 60)[:20]
    for steps in (30, 60, 1000):
        got = rates(part, steps, 5, 10, 1.0, 20)
        assert_close(got, expected, what=f"the first 20 rates of {steps} steps", **EXACT)


def check_bad_input(part: ModuleType) -> None:
    """Numbers that make no schedule raise ValueError"""

    def call(step: int = 0, steps: int = 10, warmup: int = 2, decay: int = 3,
             peak: float = 1.0) -> Callable[[], object]:  # fmt: skip
        return lambda: part.wsd_schedule(step, steps=steps, warmup=warmup, decay=decay, peak=peak)

    assert_raises(ValueError, call(step=-1), "step is -1")
    assert_raises(ValueError, call(warmup=-1), "warmup is -1")
    assert_raises(ValueError, call(decay=-1), "decay is -1")
    assert_raises(ValueError, call(peak=-1.0), "peak is -1")
    assert_raises(ValueError, call(warmup=8), "warmup 8 and decay 3 of 10 steps")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the rates of ``size`` steps."""
    return lambda: [
        part.wsd_schedule(step, steps=size, warmup=100, decay=size // 5, peak=1.0)
        for step in range(size)
    ]


SIZE = 10_000
