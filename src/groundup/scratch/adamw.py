"""AdamW: Adam with weight decay apart from the gradient."""

from collections.abc import Sequence

from groundup.scratch.adam import Adam
from groundup.scratch.tensor import Array, Tensor

__all__ = ["AdamW"]


class AdamW(Adam):
    """Shrink the parameter by a part of itself, then step as Adam does without weight decay.

        data -= learning_rate · weight_decay · data

    As a part of the gradient, the decay of a weight would be divided by the size of its gradients.

    Source: Loshchilov and Hutter 2017, "Decoupled weight decay regularization", algorithm 2, with
    the schedule's multiplier in the learning rate, as in PyTorch.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """Begin with means of zeros. The arguments are Adam's.

        Raises:
            ValueError: a value is out of its range.
        """
        super().__init__(parameters, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)
        self.decoupled_weight_decay, self.weight_decay = self.weight_decay, 0.0

    def update(self, data: Array, gradient: Array, *running: Array) -> None:
        """Change one parameter and its two means in place, as ``Adam.update`` does."""
        data *= 1 - self.learning_rate * self.decoupled_weight_decay
        super().update(data, gradient, *running)
