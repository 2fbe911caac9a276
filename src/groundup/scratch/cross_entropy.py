"""Softmax cross-entropy: how surprised a classifier is by the right answers."""

import numpy as np
from numpy.typing import NDArray

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["cross_entropy"]


def cross_entropy(logits: Tensor, labels: NDArray[np.integer]) -> Tensor:
    """The mean over the examples of -log softmax(logits)[label], in nats.

    Softmax, logarithm and choice are one operation here, whose gradient is simple: for each of N
    examples (softmax(logits) - onehot(label)) / N.

    Args:
        logits: scores before softmax, shape (N, C), of any size: 1,000 neither overflows nor
            becomes NaN.
        labels: the index of the right class of each example, shape (N,), integers, 0 to C - 1.

    Returns:
        A tensor without axes, in the dtype of the logits, through which gradients flow to them.

    Raises:
        ValueError: the shapes are not (N, C) and (N,) with N of at least 1, or a label is not an
            integer from 0 to C - 1.

    Source: Goodfellow et al. 2016, "Deep Learning", section 6.2.2.3.
    """
    labels = np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise ValueError(
            f"expected logits (N, C) and labels (N,), got {logits.shape} and {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels are indices of classes: expected integers, got {labels.dtype}")
    N, C = logits.shape
    if labels.min() < 0 or labels.max() >= C:
        raise ValueError(f"labels must be from 0 to {C - 1}, got {labels.min()} to {labels.max()}")
    rows = np.arange(N)
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    exponentials: Array = np.exp(shifted)
    sums = exponentials.sum(axis=1)
    loss = (np.log(sums) - shifted[rows, labels]).mean()

    def backward(g: Array) -> tuple[Array]:
        difference = exponentials / sums[:, None]  # (N, C)
        difference[rows, labels] -= 1
        difference *= g / N
        return (difference,)

    return record(loss, (logits,), backward)
