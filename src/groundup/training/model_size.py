"""One dial: from the number of layers to all that a training needs."""

from dataclasses import dataclass

from groundup.errors import GroundupError

__all__ = ["ModelSize", "model_size"]

LARGEST = 64


@dataclass(frozen=True)
class ModelSize:
    """The shape of a model and of its training."""

    layers: int
    heads: int
    dim: int
    context: int
    batch: int  # rows a step
    steps: int
    learning_rate: float  # AdamW's, for embeddings, biases and norms
    matrix_learning_rate: float  # Muon's, for hidden matrices


def model_size(size: int) -> ModelSize:
    """All numbers that follow from ``size``, the number of layers.

    The width grows with the depth, so the parameters with its cube; heads have 32 features in
    narrow models and 64 in wide ones; rows, batch and steps grow in proportion. Muon's learning
    rate is the same for every width, because its updates have singular values of one. AdamW's falls
    with the square root of the width.

    A size of 4 is the small setting that nanoGPT documents for a CPU: 4 layers of 128 features with
    4 heads, 64 tokens a row, 12 rows a step, 2,000 steps. A size of 12 has the width and depth of
    the smallest GPT-2 at half its width; one of 24 all of its width.

    Raises:
        GroundupError: size is not from 1 to 64.
    """
    if not 1 <= size <= LARGEST:
        raise GroundupError(f"--size is {size}: expected 1 to {LARGEST}")
    dim = 32 * size
    return ModelSize(
        layers=size,
        heads=dim // 64 if size >= 12 and size % 2 == 0 else size,
        dim=dim,
        context=16 * size,
        batch=3 * size,
        steps=500 * size,
        learning_rate=4e-3 * (128 / dim) ** 0.5,
        matrix_learning_rate=0.02,
    )
