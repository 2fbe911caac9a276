"""RMSProp: gradients divided by their own running size."""

from collections.abc import Sequence

import numpy as np

from groundup.scratch.optimiser import Optimiser
from groundup.scratch.tensor import Array, Tensor

__all__ = ["RMSProp"]


class RMSProp(Optimiser):
    """Divide each gradient by the root of a running mean of its squares.

        square = decay · square + (1 - decay) · gradient²
        data -= learning_rate · gradient / (sqrt(square) + eps)

    Source: Hinton 2012, "Neural networks for machine learning", lecture 6e.
    """

    kept = ("square",)

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float = 0.01,
        *,
        decay: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        """Begin with a mean square of zeros.

        Args:
            parameters: what to change.
            learning_rate: not negative.
            decay: how much of the mean each step keeps, from 0 to less than 1.
            eps: added to the root, positive.

        Raises:
            ValueError: decay is not from 0 to less than 1, or eps not positive.
        """
        super().__init__(parameters, learning_rate)
        if not 0 <= decay < 1 or not eps > 0:
            raise ValueError(
                f"expected decay from 0 to less than 1 and a positive eps, got {decay} and {eps}"
            )
        self.decay = decay
        self.eps = eps

    def update(self, data: Array, gradient: Array, *running: Array) -> None:
        """Change one parameter and its mean square in place.

        Args:
            data: the parameter's values.
            gradient: of the same shape; it stays as it is.
            running: the mean of squares, which this method changes: ``step`` keeps it until the
                next time.
        """
        (square,) = running
        square *= self.decay
        square += (1 - self.decay) * gradient * gradient
        data -= self.learning_rate * gradient / (np.sqrt(square) + self.eps)
