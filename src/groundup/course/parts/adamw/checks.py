"""Checks of `groundup.scratch.adamw`. Oracle: torch's kernel of it in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import assert_close, assert_raises
from groundup.course.grader.scratch_optimiser import (
    Kernel,
    adam_kernel,
    assert_cases,
    assert_steps,
    torch_steps,
)
from groundup.scratch.tensor import Tensor

Options = dict[str, Any]


def decoupled(weight_decay: float = 0.01, **options: Any) -> Kernel:
    return adam_kernel(weight_decay=weight_decay, decoupled=True, **options)


def compare(part: ModuleType, cases: dict[str, Options], counts: tuple[int, ...] = (100,)) -> None:
    """Parameters after these numbers of steps."""
    make = lambda *args, **options: part.AdamW(*args, **options)  # noqa: E731
    assert_cases(make, decoupled, cases, 0.01, counts)


def check_steps(part: ModuleType) -> None:
    """As torch after 1, 2 and 100 steps, with the default decay"""
    compare(part, {"the defaults": {}}, (1, 2, 100))


def check_decay(part: ModuleType) -> None:
    """Several decays, among them none and a large one"""
    compare(part, {f"weight decay {d}": {"weight_decay": d} for d in (0.0, 0.1, 1.0, 10.0)})


def check_betas_and_eps(part: ModuleType) -> None:
    """Betas and eps are Adam's"""
    compare(
        part,
        {
            "betas (0.5, 0.9)": {"betas": (0.5, 0.9), "weight_decay": 0.1},
            "eps 0.1": {"eps": 0.1, "weight_decay": 0.1},
        },
    )


def check_decay_alone(part: ModuleType) -> None:
    """Where the gradient is zero, the parameter shrinks by learning rate times decay"""
    parameter = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    parameter.grad = np.zeros(2)
    part.AdamW([parameter], 0.5, weight_decay=0.1).step()
    want = np.array([0.95, -1.9])
    assert_close(parameter.data, want, what="the parameter after a step", rtol=1e-12, atol=0)


def check_apart_from_the_gradient(part: ModuleType) -> None:
    """The decay does not depend on the gradient's size"""
    shrunk = []
    for size in (1.0, 1e6):
        parameter = Tensor(np.array([2.0]), requires_grad=True)
        parameter.grad = np.array([size])
        part.AdamW([parameter], 0.1, weight_decay=1.0).step()
        shrunk.append(parameter.data)
    what = "the parameter after a step against a gradient of"
    assert_close(shrunk[0], np.array([1.7]), what=f"{what} 1", rtol=1e-7, atol=0)
    assert_close(shrunk[1], np.array([1.7]), what=f"{what} 1,000,000", rtol=1e-7, atol=0)


def check_schedule(part: ModuleType) -> None:
    """A learning rate that changes between steps scales the decay, too"""
    schedule = lambda step: 0.1 / (1 + step)  # noqa: E731
    want = torch_steps(adam_kernel(weight_decay=0.5, decoupled=True), schedule, 50)
    make = lambda p: part.AdamW(p, 1.0, weight_decay=0.5)  # noqa: E731
    assert_steps(make, want, 50, what="a falling learning rate", schedule=schedule)


def check_float32_in_place(part: ModuleType) -> None:
    """float32 parameters stay float32, in the same array; without gradient they do not decay"""
    want = torch_steps(adam_kernel(weight_decay=0.01, decoupled=True), 0.01, 10, dtype="float32")
    assert_steps(lambda p: part.AdamW(p, 0.01), want, 10, what="float32", rtol=1e-5)
    array = np.ones(3, np.float32)
    parameter, still = Tensor(array, requires_grad=True), Tensor(np.ones(2), requires_grad=True)
    parameter.grad = np.ones(3, np.float32)
    part.AdamW([parameter, still], 0.25, weight_decay=1.0).step()
    assert_close(array, np.full(3, 0.5, np.float32), rtol=1e-6, atol=0, what="the array that the "
                 "parameter was made of, after a step,")  # fmt: skip
    what = "the parameter without gradient"
    assert_close(still.data, np.ones(2), what=what, rtol=0, atol=0)


def check_bad_input(part: ModuleType) -> None:
    """Values out of their range raise ValueError"""
    parameters = [Tensor(np.ones(2), requires_grad=True)]
    cases: dict[str, Options] = {
        "beta1 is 1": {"betas": (1.0, 0.9)},
        "eps is 0": {"eps": 0.0},
        "weight_decay is negative": {"weight_decay": -0.1},
    }
    part.AdamW(parameters)
    for when, options in cases.items():
        call = lambda options=options: part.AdamW(parameters, **options)  # noqa: E731
        assert_raises(ValueError, call, when)
    assert_raises(ValueError, lambda: part.AdamW([]), "there are no parameters")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a step of ``size`` thousand parameters."""
    parameter = Tensor(np.ones(1000 * size, np.float32), requires_grad=True)
    parameter.grad = np.ones(1000 * size, np.float32)
    step: Callable[[], object] = part.AdamW([parameter]).step
    return step


SIZE = 200
