"""Checks of `groundup.scratch.rms_prop`. Oracle: the mean of squares as a sum over all steps."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises, unchanged
from groundup.course.grader.scratch_operation import Array
from groundup.scratch.tensor import Tensor

Options = dict[str, Any]
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (4,), ())


def values(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


def moved(steps: int, rates: list[float], decay: float = 0.99, eps: float = 1e-8) -> list[Array]:
    """The parameters after some steps; nothing is kept from one to the next but they."""
    parameters, seen = values(0), [values(step + 1) for step in range(steps)]
    for i, parameter in enumerate(parameters):
        for step in range(steps):
            ages = decay ** np.arange(step, -1, -1.0)
            squares = np.stack([gradients[i] ** 2 for gradients in seen[: step + 1]])
            mean = (1 - decay) * np.tensordot(ages, squares, axes=1)
            parameter[...] -= rates[step] * seen[step][i] / (mean**0.5 + eps)
    return parameters


def stepped(part: ModuleType, steps: int, rates: list[float], **options: Any) -> list[Array]:
    parameters = [Tensor(array, requires_grad=True) for array in values(0)]
    optimiser = part.RMSProp(parameters, rates[0], **options)
    for step in range(steps):
        gradients = {f"gradient{i}": g for i, g in enumerate(values(step + 1))}
        for parameter, gradient in zip(parameters, gradients.values(), strict=True):
            parameter.grad = gradient
        optimiser.learning_rate = rates[step]
        with unchanged(**gradients):
            optimiser.step()
    return [parameter.data for parameter in parameters]


def compare(part: ModuleType, cases: dict[str, Options], steps: int = 12) -> None:
    rates = [0.01] * steps
    expected = {name: moved(steps, rates, **options) for name, options in cases.items()}
    for name, options in cases.items():
        got = stepped(part, steps, rates, **options)
        for actual, want in zip(got, expected[name], strict=True):
            what = f"{name}: the parameter of shape {want.shape} after {steps} steps"
            assert_close(actual, want, rtol=1e-10, atol=1e-12, what=what)


def check_first_step(part: ModuleType) -> None:
    """The first step does not depend on the gradient's size, and nothing is corrected"""
    parameter = Tensor(np.zeros(4), requires_grad=True)
    parameter.grad = np.array([1e-3, 1.0, -1e3, -1e6])
    part.RMSProp([parameter], 0.5, decay=0.96).step()
    want = np.array([-2.5, -2.5, 2.5, 2.5])  # 0.5 divided by the root of 0.04
    assert_close(parameter.data, want, what="the parameter after a step from 0", rtol=1e-4, atol=0)


def check_steps(part: ModuleType) -> None:
    """Many steps, with the defaults"""
    compare(part, {"the defaults": {}}, steps=30)


def check_decay(part: ModuleType) -> None:
    """Other decays, among them 0"""
    compare(part, {f"decay {decay}": {"decay": decay} for decay in (0.0, 0.5, 0.9)})


def check_eps(part: ModuleType) -> None:
    """eps is added to the root"""
    compare(part, {f"eps {eps}": {"eps": eps} for eps in (1e-3, 0.1, 10.0)})
    parameter = Tensor(np.ones(2), requires_grad=True)
    parameter.grad = np.zeros(2)
    part.RMSProp([parameter]).step()
    what = "the parameter after a gradient of zeros"
    assert_close(parameter.data, np.ones(2), what=what, rtol=0, atol=0)


def check_schedule(part: ModuleType) -> None:
    """A learning rate that changes between steps"""
    rates = [0.1 / (1 + step) for step in range(10)]
    expected = moved(10, rates)
    for actual, want in zip(stepped(part, 10, rates), expected, strict=True):
        assert_close(actual, want, rtol=1e-10, atol=1e-12, what="a parameter at a falling rate")


def check_default_rate(part: ModuleType) -> None:
    """The default learning rate is 0.01"""
    parameter = Tensor(np.zeros(1), requires_grad=True)
    parameter.grad = np.ones(1)
    part.RMSProp([parameter]).step()
    what = "the parameter after a step"
    assert_close(parameter.data, np.array([-0.1]), what=what, rtol=1e-6, atol=0)


def check_float32_in_place(part: ModuleType) -> None:
    """float32 parameters stay float32, in the same array"""
    array = np.ones(3, np.float32)
    parameter = Tensor(array, requires_grad=True)
    optimiser = part.RMSProp([parameter], 0.1, decay=0.75)
    parameter.grad = np.ones(3, np.float32)
    optimiser.step()
    what = "the array that the parameter was made of, after a step,"
    assert_close(array, np.full(3, 0.8, np.float32), rtol=1e-6, atol=0, what=what)


def check_without_gradient(part: ModuleType) -> None:
    """A parameter without gradient stays as it is"""
    parameter, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimiser = part.RMSProp([parameter, other], 0.1)
    parameter.grad = other.grad = np.ones(2)
    optimiser.step()
    before = other.data.copy()
    other.grad = None
    optimiser.step()
    assert_close(other.data, before, what="the parameter without gradient", rtol=0, atol=0)


def check_resumption(part: ModuleType) -> None:
    """Its state is all that it needs to go on elsewhere"""
    parameter = Tensor(np.ones(2), requires_grad=True)
    optimiser = part.RMSProp([parameter], 0.1)
    parameter.grad = np.array([1.0, -2.0])
    optimiser.step()
    copied = Tensor(parameter.data.copy(), requires_grad=True)
    resumed = part.RMSProp([copied], 0.1)
    assert_equal(list(optimiser.state()), ["0.square", "steps"], "the list of names in its state")
    resumed.load_state({name: np.array(value) for name, value in optimiser.state().items()})
    parameter.grad = copied.grad = np.array([0.5, 3.0])
    optimiser.step()
    resumed.step()
    assert_close(copied.data, parameter.data, what="the resumed parameter", rtol=0, atol=0)


def check_bad_input(part: ModuleType) -> None:
    """Values out of their range raise ValueError"""
    parameters = [Tensor(np.ones(2), requires_grad=True)]
    cases: dict[str, Options] = {
        "decay is 1": {"decay": 1.0},
        "decay is negative": {"decay": -0.1},
        "eps is 0": {"eps": 0.0},
        "eps is NaN": {"eps": float("nan")},
        "the learning rate is negative": {"learning_rate": -0.1},
    }
    part.RMSProp(parameters)
    for when, options in cases.items():
        call = lambda options=options: part.RMSProp(parameters, **options)  # noqa: E731
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a step of ``size`` thousand parameters."""
    parameter = Tensor(np.ones(1000 * size, np.float32), requires_grad=True)
    parameter.grad = np.ones(1000 * size, np.float32)
    step: Callable[[], object] = part.RMSProp([parameter]).step
    return step


SIZE = 200
