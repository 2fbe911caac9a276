"""An operation of ``groundup.scratch`` against the same one of torch: values and gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.course.grader.compare import CheckFailure, assert_close, unchanged
from groundup.scratch.tensor import Tensor

__all__ = ["Expectation", "assert_operation", "expectation"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Expectation:
    """What an operation should give for some arrays."""

    arrays: tuple[Array, ...]
    output: Array
    gradient: Array  # of a loss in the output, random
    gradients: tuple[Array, ...]  # of that loss in each of the arrays


def expectation(function: Callable[..., torch.Tensor], *arrays: Array) -> Expectation:
    """Compute it in torch, in float64 whatever the arrays' dtype, to which the results then go."""
    tensors = [torch.tensor(array.astype(np.float64), requires_grad=True) for array in arrays]
    output = function(*tensors)
    gradient = np.random.default_rng(0).standard_normal(tuple(output.shape))
    # Of a product, as torch imports much when a gradient is given to it.
    gradients = torch.autograd.grad((output * torch.tensor(gradient)).sum(), tensors)
    dtype = np.result_type(*arrays)
    return Expectation(
        arrays,
        output.detach().numpy().astype(dtype),
        np.asarray(gradient, dtype),
        tuple(g.numpy().astype(array.dtype) for g, array in zip(gradients, arrays, strict=True)),
    )


def assert_operation(
    function: Callable[..., Any],
    expected: Expectation,
    *,
    what: str = "the output",
    names: tuple[str, ...] = (),
    rtol: float = 1e-9,
    tensor: Callable[..., Any] = Tensor,
) -> None:
    """Fail unless the function gives the output and, by ``backward``, the gradients expected.

    A value may differ by ``rtol`` of itself, and by a thousandth of that of the largest value
    beside it, because sums cancel.

    Args:
        function: takes as many tensors as there are arrays.
        what: the subject of the message.
        names: of the arrays, for the message.
        rtol: see above.
        tensor: the class of tensors, where that is what is checked.

    Raises:
        CheckFailure: naming the first difference, or the array that was changed.
    """
    tensors = [tensor(array, requires_grad=True) for array in expected.arrays]
    named = dict(zip(names or map(str, range(len(tensors))), tensors, strict=True))
    with unchanged(**{name: leaf.data for name, leaf in named.items()}):
        output = function(*tensors)
        if not isinstance(getattr(output, "data", None), np.ndarray):
            raise CheckFailure(f"{what} is of type {type(output).__name__}: expected a Tensor")
        _close(output.data, expected.output, what, rtol)
        output.backward(expected.gradient.copy())
    for (name, leaf), want in zip(named.items(), expected.gradients, strict=True):
        _close(leaf.grad, want, f"{what}: the gradient of {name}" if names else
               f"{what}: the gradient of input {name}", rtol)  # fmt: skip


def _close(actual: object, expected: Array, what: str, rtol: float) -> None:
    largest = float(abs(expected).max(initial=1e-3))
    assert_close(actual, expected, rtol=rtol, atol=1e-3 * rtol * largest, what=what)
