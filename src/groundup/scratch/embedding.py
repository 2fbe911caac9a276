"""A learned vector for each id."""

import numpy as np
from numpy.typing import NDArray

from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["Embedding", "embedding"]


def embedding(ids: NDArray[np.integer], weight: Tensor) -> Tensor:
    """The rows of the weight that the ids name.

    Args:
        ids: integers from 0 to V - 1, any shape.
        weight: shape (V, C).

    Returns:
        Shape (*ids.shape, C), in the dtype of the weight. A row that is named several times
        receives the sum of the gradients, one that is not named zeros.

    Raises:
        ValueError: an id is not an integer from 0 to V - 1.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"ids should be integers, got {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= len(weight)):
        raise ValueError(f"ids must be from 0 to {len(weight) - 1}, got {ids.min()} to {ids.max()}")

    def backward(g: Array) -> tuple[Array]:
        dweight = np.zeros_like(weight.data)
        if ids.size:
            # Rows of equal ids are brought together and summed at once: np.add.at takes far longer.
            order = np.argsort(ids, axis=None, kind="stable")
            named, first = np.unique(ids.ravel()[order], return_index=True)
            dweight[named] = np.add.reduceat(g.reshape(ids.size, -1)[order], first)
        return (dweight,)

    return record(weight.data[ids], (weight,), backward)


class Embedding(Module):
    """A table of vectors, drawn from a standard normal distribution and trained."""

    def __init__(self, size: int, features: int, *, rng: np.random.Generator) -> None:
        """Make the table: ``weight``, a tensor of shape (size, features), float32 and trained."""
        self.weight = Tensor(
            rng.standard_normal((size, features)).astype(np.float32), requires_grad=True
        )

    def __call__(self, ids: NDArray[np.integer]) -> Tensor:  # type: ignore[override]
        """``embedding`` of ids, to shape (*ids.shape, features)."""
        return embedding(ids, self.weight)
