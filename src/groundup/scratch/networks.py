"""Two classifiers of small grey images."""

import numpy as np

from groundup.scratch.conv2d import Conv2d
from groundup.scratch.elementwise import relu
from groundup.scratch.linear import Linear
from groundup.scratch.max_pool2d import max_pool2d
from groundup.scratch.module import Sequential
from groundup.scratch.tensor import Tensor

__all__ = ["convolutional", "multilayer_perceptron"]


def multilayer_perceptron(side: int, classes: int, rng: np.random.Generator) -> Sequential:
    """Three linear layers with ReLU between them: images (N, 1, side, side) to logits (N, classes).

    For Fashion-MNIST it has 235,146 parameters.
    """
    return Sequential(
        _flatten,
        Linear(side * side, 256, rng=rng),
        relu,
        Linear(256, 128, rng=rng),
        relu,
        Linear(128, classes, rng=rng),
    )


def convolutional(side: int, classes: int, rng: np.random.Generator) -> Sequential:
    """Two convolutions, each followed by ReLU and pooling, and two linear layers.

    Images (N, 1, side, side) to logits (N, classes). For Fashion-MNIST it has 206,922 parameters.
    """
    return Sequential(
        Conv2d(1, 16, 3, padding=1, rng=rng),
        relu,
        _halve,
        Conv2d(16, 32, 3, padding=1, rng=rng),
        relu,
        _halve,
        _flatten,
        Linear(32 * (side // 4) ** 2, 128, rng=rng),
        relu,
        Linear(128, classes, rng=rng),
    )


def _flatten(x: Tensor) -> Tensor:
    return x.reshape(len(x), -1)


def _halve(x: Tensor) -> Tensor:
    return max_pool2d(x, 2)
