"""A limit on the norm over all gradients."""

import math
from collections.abc import Sequence

import numpy as np

from groundup.scratch.tensor import Tensor

__all__ = ["clip_gradient_norm"]


def clip_gradient_norm(parameters: Sequence[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor where together they are longer than ``max_norm``.

    Their direction stays; only the length of the step is limited.

    Args:
        parameters: those without a gradient are passed over.
        max_norm: positive.

    Returns:
        The norm before: the root of the sum of all squares. Where it is infinite or NaN, the
        gradients are left as they are: no factor makes them right.

    Raises:
        ValueError: max_norm is not positive.

    Source: Pascanu et al. 2012, "On the difficulty of training recurrent neural networks",
    algorithm 1.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
    if max_norm < norm < math.inf:
        for gradient in gradients:
            gradient *= max_norm / norm
    return norm
