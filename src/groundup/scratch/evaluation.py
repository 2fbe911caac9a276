"""How well a classifier does on images that it did not learn from."""

import numpy as np
from numpy.typing import NDArray

from groundup.scratch.cross_entropy import cross_entropy
from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, no_grad

__all__ = ["confusion_matrix", "logits_of", "loss_and_accuracy"]

BATCH = 250  # images at a time, so that the largest array stays in the processor's cache


def logits_of(network: Module, images: Array) -> Array:
    """The network's scores of all classes, (N, classes), as it is after training."""
    network.train(False)
    try:
        with no_grad():
            parts = [
                network(Tensor(images[start : start + BATCH])).data
                for start in range(0, len(images), BATCH)
            ]
    finally:
        network.train()
    return np.concatenate(parts)


def loss_and_accuracy(logits: Array, labels: NDArray[np.int64]) -> tuple[float, float]:
    """The mean cross-entropy in nats, and the share whose highest score is the right one's."""
    loss = cross_entropy(Tensor(logits), labels).item()
    return loss, float((logits.argmax(axis=1) == labels).mean())


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """How many of each class, in rows, were taken for each class, in columns."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)
