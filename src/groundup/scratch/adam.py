"""Adam: adaptive moments with bias correction."""

import math
from collections.abc import Sequence

import numpy as np

from groundup.scratch.optimiser import Optimiser
from groundup.scratch.tensor import Array, Tensor

__all__ = ["Adam"]


class Adam(Optimiser):
    """Step along a running mean of gradients, divided by the root of one of their squares.

        g = gradient + weight_decay · data
        mean = beta1 · mean + (1 - beta1) · g
        square = beta2 · square + (1 - beta2) · g²
        data -= learning_rate · (mean / (1 - beta1^t)) / (sqrt(square / (1 - beta2^t)) + eps)

    where t counts the steps from 1. Both means start at zero; the division by 1 - beta^t takes out
    what that pulls them towards it.

    Source: Kingma and Ba 2014, "Adam: a method for stochastic optimization", algorithm 1.
    """

    kept = ("mean", "square")

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Begin with means of zeros.

        Args:
            parameters: what to change.
            learning_rate: not negative.
            betas: how much of the two means each step keeps, from 0 to less than 1.
            eps: added to the root, positive.
            weight_decay: the coefficient of L2 regularisation, a part of the gradient.

        Raises:
            ValueError: a value is out of its range.
        """
        super().__init__(parameters, learning_rate)
        if not all(0 <= beta < 1 for beta in betas) or not eps > 0 or not weight_decay >= 0:
            raise ValueError(
                f"expected betas from 0 to less than 1, eps above 0 and weight_decay of at least "
                f"0, got {betas}, {eps} and {weight_decay}"
            )
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def update(self, data: Array, gradient: Array, *running: Array) -> None:
        """Change one parameter and its two means in place.

        ``self.steps`` is the number of this step, from 1: ``step`` has counted it.

        Args:
            data: the parameter's values.
            gradient: of the same shape; it stays as it is.
            running: the mean of gradients and that of their squares, which this method changes:
                ``step`` keeps them until the next time.
        """
        mean, square = running
        beta1, beta2 = self.betas
        if self.weight_decay:
            gradient = gradient + self.weight_decay * data
        mean *= beta1
        mean += (1 - beta1) * gradient
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        root = np.sqrt(square)
        root /= math.sqrt(1 - beta2**self.steps)
        root += self.eps
        step = mean / root
        step *= self.learning_rate / (1 - beta1**self.steps)
        data -= step
