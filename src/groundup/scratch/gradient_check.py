"""Central finite differences, to hold a gradient against."""

from collections.abc import Callable

import numpy as np

from groundup.scratch.tensor import Array, Tensor, no_grad

__all__ = ["gradient_error", "numerical_gradient"]


def numerical_gradient(function: Callable[[Array], float], x: Array, step: float = 1e-5) -> Array:
    """The slope of a function in each element, from its values on both sides.

        (function(x + step · e) - function(x - step · e)) / (2 · step)    for each unit vector e

    The error shrinks with step², until rounding, which grows with 1 / step, outweighs it.

    Args:
        function: of an array of the shape of x, giving one number.
        x: float64, any shape; it is as before when this returns or ``function`` raises.
        step: positive.

    Returns:
        A float64 array of the shape of x.

    Raises:
        ValueError: x is not float64 (in float32 rounding hides the slope), or step not positive.

    Source: Press et al. 1992, "Numerical Recipes", section 5.7, equation 5.7.7.
    """
    if x.dtype != np.float64:
        raise ValueError(f"finite differences need float64, got {x.dtype}")
    if not step > 0:
        raise ValueError(f"step must be positive, got {step}")
    moved = x.copy()
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        moved[index] = x[index] + step
        above = function(moved)
        moved[index] = x[index] - step
        below = function(moved)
        moved[index] = x[index]
        gradient[index] = (above - below) / (2 * step)
    return gradient


def gradient_error(function: Callable[..., Tensor], *inputs: Array, step: float = 1e-5) -> float:
    """How far the gradients that ``backward`` gives are from finite differences.

    Args:
        function: of as many tensors as there are inputs, giving a tensor with a single element.
        inputs: float64 arrays, which stay as they are.
        step: as ``numerical_gradient`` takes it.

    Returns:
        The largest relative error over all inputs: the norm of the difference of both gradients,
        divided by the sum of their norms; 0 where both are zero, infinite where one is NaN. Below
        1e-7 the gradient is right; above 1e-4 it is wrong, or the function has a bend nearby.

    Raises:
        ValueError: the function gives more than one number, or an input is not float64.
    """
    tensors = [Tensor(x.copy(), requires_grad=True) for x in inputs]
    result = function(*tensors)
    if result.data.size != 1:
        raise ValueError(f"the function should give a single number, got shape {result.shape}")
    if result.requires_grad:
        result.backward()
    errors = [0.0]
    for position, x in enumerate(inputs):

        def value(moved: Array, position: int = position) -> float:
            replaced = [Tensor(moved if i == position else y) for i, y in enumerate(inputs)]
            with no_grad():
                return function(*replaced).item()

        numerical = numerical_gradient(value, x, step)
        found = tensors[position].grad
        analytic = np.zeros_like(x) if found is None else found
        total = np.linalg.norm(analytic) + np.linalg.norm(numerical)
        if total != 0:
            error = float(np.linalg.norm(analytic - numerical) / total)
            errors.append(error if error == error else float("inf"))
    return max(errors)
