"""An optimiser of ``groundup.scratch`` against torch's kernels of it, step by step.

The kernels are called as they are: the classes of ``torch.optim`` import torch's compiler when they
first step, which takes seconds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.course.grader.compare import assert_close, unchanged
from groundup.scratch.tensor import Tensor

__all__ = ["Kernel", "adam_kernel", "assert_cases", "assert_steps", "sgd_kernel", "torch_steps"]

Array = NDArray[Any]

Tensors = list[torch.Tensor]
# Changes parameters by their gradients, with two running values for each; then the number of the
# step, from 1, and the learning rate.
Kernel = Callable[[Tensors, Tensors, tuple[Tensors, Tensors], int, float], None]
Rate = Callable[[int], float]  # the learning rate of a step, from 0

SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (4,), ())


def _values(seed: int, dtype: str) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def sgd_kernel(momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Kernel:
    """Torch's stochastic gradient descent."""

    def kernel(p: Tensors, g: Tensors, kept: tuple[Tensors, Tensors], t: int, rate: float) -> None:
        torch._fused_sgd_(
            p, g, kept[0] if momentum else [], weight_decay=weight_decay, momentum=momentum,
            lr=rate, dampening=0.0, nesterov=nesterov, maximize=False, is_first_step=t == 1,
        )  # fmt: skip

    return kernel


def adam_kernel(
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    decoupled: bool = False,
) -> Kernel:
    """Torch's Adam; with ``decoupled``, its AdamW."""
    function = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def kernel(p: Tensors, g: Tensors, kept: tuple[Tensors, Tensors], t: int, rate: float) -> None:
        counts = [torch.tensor(float(t)) for _ in p]
        function(
            p, g, *kept, [], counts, lr=rate, beta1=betas[0], beta2=betas[1],
            weight_decay=weight_decay, eps=eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    return kernel


def torch_steps(
    kernel: Kernel, rate: float | Rate, steps: int, *, dtype: str = "float64"
) -> list[Array]:
    """The parameters, of that dtype, after some steps with gradients that are drawn for each."""
    parameters = [torch.tensor(x) for x in _values(0, dtype)]
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(steps):
        gradients = [torch.tensor(g) for g in _values(step + 1, dtype)]
        now = rate if isinstance(rate, float) else rate(step)
        kernel(parameters, gradients, (first, second), step + 1, now)
    return [parameter.numpy() for parameter in parameters]


def assert_cases(
    make: Callable[..., Any],
    kernel: Callable[..., Kernel],
    cases: dict[str, dict[str, Any]],
    rate: float,
    counts: tuple[int, ...] = (100,),
) -> None:
    """Fail unless, with the options of each case, some numbers of steps lead where torch's do.

    Args:
        make: an optimiser of parameters, at this rate, with the options.
        kernel: torch's, with the options.
        cases: options by the name of the case.
        rate: the learning rate.
        counts: the numbers of steps.

    Raises:
        CheckFailure: as ``assert_steps`` does, with the name of the case.
    """
    expected = {
        (name, steps): torch_steps(kernel(**options), rate, steps)
        for name, options in cases.items()
        for steps in counts
    }
    for (name, steps), want in expected.items():

        def case(parameters: Sequence[Tensor], options: dict[str, Any] = cases[name]) -> Any:
            return make(parameters, rate, **options)

        assert_steps(case, want, steps, what=name)


def assert_steps(
    make: Callable[[Sequence[Tensor]], Any],
    expected: list[Array],
    steps: int,
    *,
    what: str,
    rtol: float = 1e-10,
    schedule: Rate | None = None,
) -> None:
    """Fail unless the same steps lead to the parameters that ``torch_steps`` gave.

    Raises:
        CheckFailure: naming the parameter and the first difference, or that a gradient was changed.
    """
    dtype = str(expected[0].dtype)
    parameters = [Tensor(x, requires_grad=True) for x in _values(0, dtype)]
    optimiser = make(parameters)
    for step in range(steps):
        gradients = {f"gradient{i}": g for i, g in enumerate(_values(step + 1, dtype))}
        for parameter, gradient in zip(parameters, gradients.values(), strict=True):
            parameter.grad = gradient
        if schedule is not None:
            optimiser.learning_rate = schedule(step)
        with unchanged(**gradients):
            optimiser.step()
    for parameter, want in zip(parameters, expected, strict=True):
        name = f"{what}: the parameter of shape {want.shape} after {steps} steps"
        assert_close(parameter.data, want, rtol=rtol, atol=1e-3 * rtol, what=name)
