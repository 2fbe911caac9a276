"""Batch normalisation, in training and after it."""

import numpy as np

from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    """Shift and scale each channel to mean 0 and variance 1, then by a learned weight and bias.

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    In training, mean and variance are the batch's own, over all axes but the channels', and
    gradients flow through them. Afterwards they are running means of those, which the layer kept.

    Source: Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        """Make the layer.

        Args:
            channels: the length C of axis 1.
            momentum: how much of a running value each batch replaces, from 0 to 1.
            eps: added to the variance, not negative.

        The attributes, all of shape (C,) and float32: ``weight`` and ``bias``, trained tensors that
        start at ones and zeros; ``running_mean`` and ``running_variance``, arrays that start at
        zeros and ones.

        Raises:
            ValueError: channels is not positive, momentum not from 0 to 1, or eps negative.
        """
        if channels < 1 or not 0 <= momentum <= 1 or eps < 0:
            raise ValueError(
                f"expected positive channels, momentum from 0 to 1 and eps of at least 0, got "
                f"{channels}, {momentum} and {eps}"
            )
        self.weight = Tensor(np.ones(channels, np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(channels, np.float32), requires_grad=True)
        self.running_mean: Array = np.zeros(channels, np.float32)
        self.running_variance: Array = np.ones(channels, np.float32)
        self.momentum = momentum
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise each channel, with the batch's statistics where ``training`` is true.

        Args:
            x: shape (N, C, ...).

        Returns:
            The same shape. The variance that normalises divides by the number n of values in a
            channel; in training the running variance moves towards the one that divides by n - 1.

        Raises:
            ValueError: axis 1 is not C long, or in training a channel has a single value, whose
                variance is nothing to go by.
        """
        if x.ndim < 2 or x.shape[1] != len(self.running_mean):
            raise ValueError(f"x {x.shape} should be (N, {len(self.running_mean)}, ...)")
        axes = (0, *range(2, x.ndim))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        n = x.data.size // x.shape[1]
        training = self.training
        if training:
            if n < 2:
                raise ValueError(
                    f"in training each channel needs two values, got {n} from {x.shape}"
                )
            mean = x.data.mean(axis=axes)
            variance = x.data.var(axis=axes)
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_variance += self.momentum * (
                variance * (n / (n - 1)) - self.running_variance
            )
        else:
            mean, variance = self.running_mean, self.running_variance
        weight, bias = self.weight, self.bias
        inverse = 1 / np.sqrt(variance + self.eps)
        normal: Array = (x.data - mean.reshape(shape)) * inverse.reshape(shape)

        def backward(g: Array) -> tuple[Array, Array, Array]:
            dbias = g.sum(axis=axes)
            dweight = (g * normal).sum(axis=axes)
            dx = g
            if training:  # x moves the mean and the variance too
                dx = dx - (dbias / n).reshape(shape) - normal * (dweight / n).reshape(shape)
            return dx * (weight.data * inverse).reshape(shape), dweight, dbias

        y = normal * weight.data.reshape(shape) + bias.data.reshape(shape)
        return record(y, (x, weight, bias), backward)
