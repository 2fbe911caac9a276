"""Random weights that keep the size of activations from layer to layer."""

import math

import numpy as np

from groundup.scratch.tensor import Array

__all__ = ["fan_in", "kaiming_normal", "kaiming_uniform"]

RELU_GAIN = math.sqrt(2)  # a ReLU halves the mean square of what is symmetric around zero


def fan_in(shape: tuple[int, ...]) -> int:
    """How many inputs each output of a layer sums up.

    Args:
        shape: of the weight: (outputs, inputs) of a linear layer, (outputs, inputs, height, width)
            of a convolution.

    Raises:
        ValueError: shape has fewer than two axes, or one that is not positive.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"a weight has two or more axes, all of them positive, got {shape}")
    return math.prod(shape[1:])


def kaiming_normal(
    shape: tuple[int, ...], rng: np.random.Generator, gain: float = RELU_GAIN
) -> Array:
    """Independent normal weights of mean 0 and standard deviation gain / sqrt(fan_in).

    Args:
        shape: as ``fan_in`` takes it.
        rng: where the randomness comes from; equal generators give equal weights.
        gain: how much the activation before this layer shrinks what passes it: sqrt(2) for ReLU,
            1 where there is none.

    Returns:
        A float32 array of this shape.

    Raises:
        ValueError: as ``fan_in`` raises it, or the gain is not positive.

    Source: He et al. 2015, "Delving deep into rectifiers", section 2.2, equation 10.
    """
    return (rng.standard_normal(shape) * _deviation(shape, gain)).astype(np.float32)


def kaiming_uniform(
    shape: tuple[int, ...], rng: np.random.Generator, gain: float = RELU_GAIN
) -> Array:
    """Independent uniform weights of the same mean and standard deviation as ``kaiming_normal``.

    They lie between -b and b, where b is the number that gives this standard deviation.
    """
    bound = math.sqrt(3) * _deviation(shape, gain)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def _deviation(shape: tuple[int, ...], gain: float) -> float:
    if not gain > 0:
        raise ValueError(f"the gain must be positive, got {gain}")
    return gain / math.sqrt(fan_in(shape))
