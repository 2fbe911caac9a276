"""Numbers in compiled loops: bfloat16's rounding is torch's, and the exponential NumPy's."""

from typing import Any

import numpy as np
import torch
from numba import njit

from groundup.models.compiled_floats import exponential, narrow, widen


@njit
def narrowed(values: Any, out: Any) -> None:
    for i in range(len(values)):
        out[i] = narrow(values[i], out)


@njit
def widened(values: Any, out: Any) -> None:
    for i in range(len(values)):
        out[i] = widen(values[i])


@njit(fastmath=True, error_model="numpy")
def exponentials(values: Any, out: Any) -> None:
    for i in range(len(values)):
        out[i] = exponential(values[i])


def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even() -> None:
    drawn = np.random.default_rng(0).standard_normal(2000).astype(np.float32) * 100
    exact = torch.from_numpy(drawn).bfloat16()
    ties = (exact.view(torch.int16).numpy().astype(np.int32) << 16 | 0x8000).view(np.float32)
    values = np.concatenate([drawn, ties, -ties, np.array([0.0, -0.0, np.inf], np.float32)])
    bits = np.empty(len(values), np.uint16)
    narrowed(values, bits)
    expected = torch.from_numpy(values).bfloat16()
    np.testing.assert_array_equal(bits, expected.view(torch.uint16).numpy())
    back = np.empty(len(values), np.float32)
    widened(bits, back)
    np.testing.assert_array_equal(back, expected.float().numpy())


def test_the_exponential_is_right_to_two_units_in_the_last_place() -> None:
    values = np.linspace(-86.5, 87.5, 20001, dtype=np.float32)
    found = np.empty_like(values)
    exponentials(values, found)
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64)), rtol=2.4e-7, atol=0)
    beyond = np.array([-1e4, 1e4], np.float32)
    exponentials(beyond, found)
    np.testing.assert_allclose(found[:2], np.exp(np.array([-87.0, 88.0])), rtol=1e-6, atol=0)
