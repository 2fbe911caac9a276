"""Checks of `groundup.scratch.sgd`. Oracle: torch's kernel of it in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_optimiser import (
    assert_cases,
    assert_steps,
    sgd_kernel,
    torch_steps,
)
from groundup.scratch.tensor import Tensor

Options = dict[str, Any]


def compare(part: ModuleType, cases: dict[str, Options], counts: tuple[int, ...] = (100,)) -> None:
    """Parameters after these numbers of steps."""
    make = lambda *args, **options: part.SGD(*args, **options)  # noqa: E731
    assert_cases(make, sgd_kernel, cases, 0.1, counts)


def check_plain(part: ModuleType) -> None:
    """Without momentum, as torch after 1 and after 100 steps"""
    compare(part, {"plain": {}}, (1, 100))


def check_momentum(part: ModuleType) -> None:
    """With momentum: the first step, and 100"""
    compare(part, {f"momentum {m}": {"momentum": m} for m in (0.5, 0.9, 0.99)}, (1, 100))


def check_nesterov(part: ModuleType) -> None:
    """Nesterov's momentum, after 1, 2 and 100 steps"""
    compare(part, {"nesterov": {"momentum": 0.9, "nesterov": True}}, (1, 2, 100))


def check_weight_decay(part: ModuleType) -> None:
    """L2 regularisation, alone and with both kinds of momentum"""
    compare(
        part,
        {
            "weight decay": {"weight_decay": 0.1},
            "weight decay and momentum": {"weight_decay": 0.1, "momentum": 0.9},
            "all three": {"weight_decay": 0.1, "momentum": 0.9, "nesterov": True},
        },
    )


def check_schedule(part: ModuleType) -> None:
    """A learning rate that changes between steps scales the step, not the velocity"""
    schedule = lambda step: 0.1 / (1 + step)  # noqa: E731
    want = torch_steps(sgd_kernel(momentum=0.9), schedule, 50)
    make = lambda p: part.SGD(p, 1.0, momentum=0.9)  # noqa: E731
    assert_steps(make, want, 50, what="a falling learning rate", schedule=schedule)


def check_float32_in_place(part: ModuleType) -> None:
    """float32 parameters stay float32, in the same array"""
    options: Options = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    want = torch_steps(sgd_kernel(**options), 0.1, 10, dtype="float32")
    make = lambda p: part.SGD(p, 0.1, **options)  # noqa: E731
    assert_steps(make, want, 10, what="float32", rtol=1e-5)
    array = np.ones(3, np.float32)
    parameter = Tensor(array, requires_grad=True)
    optimiser = part.SGD([parameter], 0.1, momentum=0.9)
    parameter.grad = np.ones(3, np.float32)
    optimiser.step()
    assert_close(array, np.full(3, 0.9, np.float32), rtol=1e-6, atol=0, what="the array that the "
                 "parameter was made of, after a step,")  # fmt: skip


def check_without_gradient(part: ModuleType) -> None:
    """A parameter without gradient stays as it is, also one with velocity or decay"""
    parameter, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimiser = part.SGD([parameter, other], 0.1, momentum=0.9, weight_decay=0.1)
    parameter.grad = other.grad = np.ones(2)
    optimiser.step()
    before = other.data.copy()
    other.grad = None
    optimiser.step()
    assert_close(other.data, before, what="the parameter without gradient", rtol=0, atol=0)


def check_two_optimisers(part: ModuleType) -> None:
    """Two optimisers have each a velocity of their own"""
    one, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    first, second = (part.SGD([p], 0.1, momentum=0.9) for p in (one, other))
    one.grad, other.grad = np.ones(2), 3 * np.ones(2)
    first.step()
    second.step()
    first.step()
    assert_close(one.data, np.full(2, 1 - 0.1 - 0.19), what="the first one's parameter after two "
                 "steps, and one of the second in between,", rtol=1e-12, atol=0)  # fmt: skip
    assert_equal(list(first.state()), ["0.velocity", "steps"], "the list of names in its state")


def check_bad_input(part: ModuleType) -> None:
    """Values out of their range raise ValueError"""
    parameters = [Tensor(np.ones(2), requires_grad=True)]
    cases: dict[str, Options] = {
        "momentum is 1": {"momentum": 1.0},
        "momentum is negative": {"momentum": -0.1},
        "weight_decay is negative": {"weight_decay": -0.1},
        "weight_decay is NaN": {"weight_decay": float("nan")},
        "nesterov is set without momentum": {"nesterov": True},
    }
    part.SGD(parameters, 0.1)
    for when, options in cases.items():
        call = lambda options=options: part.SGD(parameters, 0.1, **options)  # noqa: E731
        assert_raises(ValueError, call, when)
    assert_raises(ValueError, lambda: part.SGD(parameters, -0.1), "the learning rate is negative")
    assert_raises(ValueError, lambda: part.SGD([], 0.1), "there are no parameters")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a step of ``size`` thousand parameters with momentum."""
    parameter = Tensor(np.ones(1000 * size, np.float32), requires_grad=True)
    parameter.grad = np.ones(1000 * size, np.float32)
    step: Callable[[], object] = part.SGD([parameter], 1e-3, momentum=0.9).step
    return step


SIZE = 200
