"""An operation against torch's, for arrays of every layout."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st

from groundup.course.grader.scratch_operation import assert_operation, expectation
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
    """Compare output and gradients in float64, shapes and dtypes with them."""
    assert_operation(ours, expectation(theirs, *arrays), rtol=rtol)
