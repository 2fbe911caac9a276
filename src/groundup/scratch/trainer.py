"""Training a classifier in epochs, from which it can be resumed."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from groundup.errors import GroundupError
from groundup.scratch.cross_entropy import cross_entropy
from groundup.scratch.evaluation import logits_of, loss_and_accuracy
from groundup.scratch.gradient_clipping import clip_gradient_norm
from groundup.scratch.image_data import ImageData
from groundup.scratch.module import Module
from groundup.scratch.optimiser import Optimiser
from groundup.scratch.tensor import Array, Tensor

__all__ = ["Epoch", "Trainer"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to."""

    number: int  # from 1
    train_loss: float  # the mean over its steps
    test_loss: float
    test_accuracy: float


class Trainer:
    """A network, its optimiser and its data, and how far the training is.

    The order of an epoch's images depends on the seed and the epoch's number alone, so that what
    is resumed after an epoch goes on exactly as it would have.
    """

    def __init__(
        self,
        network: Module,
        optimiser: Optimiser,
        data: ImageData,
        *,
        epochs: int,
        batch_size: int,
        seed: int,
        schedule: Callable[[int, int], float],
        max_norm: float = 1.0,
    ) -> None:
        """Prepare; nothing is trained yet.

        Args:
            epochs: how often each image is seen.
            batch_size: images in each step; at most as many as there are.
            seed: of the order of the images.
            schedule: the learning rate of a step, from its number, from 0, and the number of all.
            max_norm: to which gradients are clipped.

        The attributes ``losses``, of all steps, and ``epochs_done`` tell how far it is.
        """
        self.network, self.optimiser, self.data = network, optimiser, data
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.schedule, self.max_norm = schedule, max_norm
        self.steps_each = math.ceil(len(data.images) / batch_size)
        self.losses: list[float] = []
        self.epochs_done: list[Epoch] = []

    def train_epoch(self) -> Iterator[float]:
        """Train on each image once; yield the loss of each step, before its update is seen.

        Raises:
            GroundupError: a loss is not finite. What was trained before this epoch can be loaded
                from its checkpoint.
        """
        number = len(self.epochs_done)
        order = np.random.default_rng([self.seed, number]).permutation(len(self.data.images))
        losses = []
        for step in range(self.steps_each):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            loss = cross_entropy(
                self.network(Tensor(self.data.images[chosen])), self.data.labels[chosen]
            )
            value = loss.item()
            if not math.isfinite(value):
                raise GroundupError(
                    f"the loss became {value} in epoch {number + 1}, batch {step + 1} of "
                    f"{self.steps_each}: lower the learning rate; the checkpoint of the epoch "
                    "before is as it was"
                )
            self.optimiser.zero_grad()
            loss.backward()
            clip_gradient_norm(self.optimiser.parameters, self.max_norm)
            self.optimiser.learning_rate = self.schedule(
                number * self.steps_each + step, self.epochs * self.steps_each
            )
            self.optimiser.step()
            losses.append(value)
            yield value
        logits = logits_of(self.network, self.data.test_images)
        test_loss, accuracy = loss_and_accuracy(logits, self.data.test_labels)
        self.losses += losses
        self.epochs_done.append(Epoch(number + 1, float(np.mean(losses)), test_loss, accuracy))

    def state(self) -> dict[str, Array]:
        """All that a resumed training needs beside the settings, by name. Not copies."""
        done = [(e.train_loss, e.test_loss, e.test_accuracy) for e in self.epochs_done]
        return {
            **{f"network.{name}": array for name, array in self.network.state().items()},
            **{f"optimiser.{name}": array for name, array in self.optimiser.state().items()},
            "losses": np.array(self.losses),
            "epochs": np.array(done).reshape(-1, 3),
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on where another trainer with the same settings was.

        Raises:
            GroundupError: the state is of another network or optimiser.
        """
        for owner, prefix in ((self.network, "network."), (self.optimiser, "optimiser.")):
            owner.load_state(
                {
                    name.removeprefix(prefix): array
                    for name, array in state.items()
                    if name.startswith(prefix)
                }
            )
        self.losses = state["losses"].tolist()
        self.epochs_done = [
            Epoch(number, *values) for number, values in enumerate(state["epochs"].tolist(), 1)
        ]
