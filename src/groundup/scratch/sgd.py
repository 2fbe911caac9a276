"""Stochastic gradient descent with momentum."""

from collections.abc import Sequence

from groundup.scratch.optimiser import Optimiser
from groundup.scratch.tensor import Array, Tensor

__all__ = ["SGD"]


class SGD(Optimiser):
    """Step against the gradient, or against a running sum of gradients.

        g = gradient + weight_decay · data
        velocity = momentum · velocity + g
        data -= learning_rate · velocity                      (momentum)
        data -= learning_rate · (g + momentum · velocity)     (Nesterov's)

    Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", section 2, with the learning rate outside of the velocity as in PyTorch.
    """

    kept = ("velocity",)

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        """Begin with a velocity of zeros.

        Args:
            parameters: what to change.
            learning_rate: not negative.
            momentum: from 0 (none) to less than 1.
            nesterov: look ahead, by the momentum that the next step will add.
            weight_decay: the coefficient of L2 regularisation, not negative.

        Raises:
            ValueError: a value is out of its range, or ``nesterov`` is set without momentum.
        """
        super().__init__(parameters, learning_rate)
        if not 0 <= momentum < 1 or not weight_decay >= 0:
            raise ValueError(
                f"expected momentum from 0 to less than 1 and weight_decay of at least 0, got "
                f"{momentum} and {weight_decay}"
            )
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def update(self, data: Array, gradient: Array, *running: Array) -> None:
        """Change one parameter and its velocity in place.

        Args:
            data: the parameter's values.
            gradient: of the same shape; it stays as it is.
            running: the velocity, which this method changes: ``step`` keeps it until the next time.
        """
        (velocity,) = running
        g = gradient + self.weight_decay * data if self.weight_decay else gradient
        if self.momentum:
            velocity *= self.momentum
            velocity += g
            g = g + self.momentum * velocity if self.nesterov else velocity
        data -= self.learning_rate * g
