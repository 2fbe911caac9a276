"""Checks of `groundup.scratch.adam`. Oracle: torch's kernel of it in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_optimiser import (
    adam_kernel,
    assert_cases,
    assert_steps,
    torch_steps,
)
from groundup.scratch.tensor import Tensor

Options = dict[str, Any]


def compare(part: ModuleType, cases: dict[str, Options], counts: tuple[int, ...] = (100,)) -> None:
    """Parameters after these numbers of steps."""
    make = lambda *args, **options: part.Adam(*args, **options)  # noqa: E731
    assert_cases(make, adam_kernel, cases, 0.01, counts)


def check_first_step(part: ModuleType) -> None:
    """The first step is the learning rate long, whatever the gradient's size"""
    parameter = Tensor(np.zeros(4), requires_grad=True)
    parameter.grad = np.array([1e-3, 1.0, -1e3, -1e6])
    part.Adam([parameter], 0.5).step()
    want = np.array([-0.5, -0.5, 0.5, 0.5])
    assert_close(parameter.data, want, what="the parameter after a step from 0", rtol=2e-5, atol=0)


def check_steps(part: ModuleType) -> None:
    """As torch after 1, 2 and 100 steps"""
    compare(part, {"the defaults": {}}, (1, 2, 100))


def check_betas(part: ModuleType) -> None:
    """Other betas, among them 0"""
    pairs = ((0.5, 0.9), (0.0, 0.99), (0.9, 0.0), (0.99, 0.5))
    compare(part, {f"betas {pair}": {"betas": pair} for pair in pairs})


def check_eps(part: ModuleType) -> None:
    """eps is added to the root, after the correction"""
    compare(part, {f"eps {eps}": {"eps": eps} for eps in (1e-3, 0.1, 10.0)})
    parameter = Tensor(np.ones(2), requires_grad=True)
    parameter.grad = np.zeros(2)
    part.Adam([parameter]).step()
    assert_close(
        parameter.data, np.ones(2), what="the parameter after a gradient of zeros", rtol=0, atol=0
    )


def check_weight_decay(part: ModuleType) -> None:
    """weight_decay is a part of the gradient"""
    compare(part, {f"weight decay {d}": {"weight_decay": d} for d in (0.01, 1.0)})


def check_schedule(part: ModuleType) -> None:
    """A learning rate that changes between steps"""
    schedule = lambda step: 0.1 / (1 + step)  # noqa: E731
    want = torch_steps(adam_kernel(), schedule, 50)
    make = lambda p: part.Adam(p, 1.0)  # noqa: E731
    assert_steps(make, want, 50, what="a falling learning rate", schedule=schedule)


def check_float32_in_place(part: ModuleType) -> None:
    """float32 parameters stay float32, in the same array"""
    want = torch_steps(adam_kernel(), 0.01, 10, dtype="float32")
    assert_steps(lambda p: part.Adam(p, 0.01), want, 10, what="float32", rtol=1e-5)
    array = np.ones(3, np.float32)
    parameter = Tensor(array, requires_grad=True)
    parameter.grad = np.ones(3, np.float32)
    part.Adam([parameter], 0.5).step()
    assert_close(array, np.full(3, 0.5, np.float32), rtol=1e-6, atol=0, what="the array that the "
                 "parameter was made of, after a step,")  # fmt: skip


def check_without_gradient(part: ModuleType) -> None:
    """A parameter without gradient stays as it is"""
    parameter, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimiser = part.Adam([parameter, other], 0.1, weight_decay=0.1)
    parameter.grad = other.grad = np.ones(2)
    optimiser.step()
    before = other.data.copy()
    other.grad = None
    optimiser.step()
    assert_close(other.data, before, what="the parameter without gradient", rtol=0, atol=0)


def check_resumption(part: ModuleType) -> None:
    """Its state is all that it needs to go on elsewhere"""
    parameter = Tensor(np.ones(2), requires_grad=True)
    optimiser = part.Adam([parameter], 0.1)
    gradients = [np.array([1.0, -2.0]), np.array([0.5, 3.0])]
    parameter.grad = gradients[0]
    optimiser.step()
    copied = Tensor(parameter.data.copy(), requires_grad=True)
    resumed = part.Adam([copied], 0.1)
    names = ["0.mean", "0.square", "steps"]
    assert_equal(list(optimiser.state()), names, "the list of names in its state")
    resumed.load_state({name: np.array(value) for name, value in optimiser.state().items()})
    parameter.grad = copied.grad = gradients[1]
    optimiser.step()
    resumed.step()
    assert_close(copied.data, parameter.data, what="the resumed parameter", rtol=0, atol=0)


def check_bad_input(part: ModuleType) -> None:
    """Values out of their range raise ValueError"""
    parameters = [Tensor(np.ones(2), requires_grad=True)]
    cases: dict[str, Options] = {
        "beta1 is 1": {"betas": (1.0, 0.9)},
        "beta2 is 1": {"betas": (0.9, 1.0)},
        "beta2 is negative": {"betas": (0.9, -0.1)},
        "eps is 0": {"eps": 0.0},
        "weight_decay is negative": {"weight_decay": -0.1},
    }
    part.Adam(parameters)
    for when, options in cases.items():
        call = lambda options=options: part.Adam(parameters, **options)  # noqa: E731
        assert_raises(ValueError, call, when)
    assert_raises(ValueError, lambda: part.Adam(parameters, -0.1), "the learning rate is negative")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a step of ``size`` thousand parameters."""
    parameter = Tensor(np.ones(1000 * size, np.float32), requires_grad=True)
    parameter.grad = np.ones(1000 * size, np.float32)
    step: Callable[[], object] = part.Adam([parameter]).step
    return step


SIZE = 200
