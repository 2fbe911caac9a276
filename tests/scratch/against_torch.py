"""The comparison of an operation with torch's: values, gradients, shapes, dtypes."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st

from groundup.scratch.tensor import Array, Tensor

__all__ = ["LAYOUTS", "agree", "laid_out"]

LAYOUTS = st.sampled_from(["C", "F", "every second", "backwards", "in the middle"])


def laid_out(array: Array, layout: str) -> Array:
    """The same values with other strides."""
    if not array.ndim or layout == "C":
        return array
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "backwards":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if layout == "every second":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan)
        wide[..., ::2] = array
        return wide[..., ::2]
    around = np.full([n + 2 for n in array.shape], np.nan)
    middle = around[(slice(1, -1),) * array.ndim]
    middle[...] = array
    return middle


def agree(
    ours: Callable[..., Tensor],
    theirs: Callable[..., torch.Tensor],
    *arrays: Array,
    rtol: float = 1e-9,
) -> None:
    """Compare both in float64, for a random gradient of the result."""
    mine = [Tensor(array, requires_grad=True) for array in arrays]
    before = [array.copy() for array in arrays]
    their = [torch.tensor(array.copy(), requires_grad=True) for array in arrays]
    result, expected = ours(*mine), theirs(*their)
    assert result.shape == tuple(expected.shape)
    assert result.dtype == np.float64
    close(result.data, expected.detach().numpy(), rtol)
    gradient = np.random.default_rng(0).standard_normal(result.shape)
    result.backward(gradient)
    expected.backward(torch.from_numpy(gradient))
    for tensor, other, old in zip(mine, their, before, strict=True):
        assert other.grad is not None
        assert tensor.grad is not None
        assert tensor.grad.dtype == np.float64
        close(tensor.grad, other.grad.numpy(), rtol)
        assert (tensor.data == old).all(), "an input was changed"


def close(actual: Array, expected: Array, rtol: float) -> None:
    assert actual.shape == expected.shape
    # Sums cancel: what is lost then is relative to the largest of what was summed.
    scale = abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-3 * rtol * scale)
