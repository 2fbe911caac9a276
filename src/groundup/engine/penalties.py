"""Penalties of OpenAI's interface: for tokens that the answer holds already, by how often."""

from torch import Tensor

__all__ = ["presence_frequency_penalty"]


def presence_frequency_penalty(
    logits: Tensor, generated: Tensor, presence: float, frequency: float
) -> Tensor:
    """Lower the scores of tokens that were generated before.

    ``logits[t] - presence * (count[t] > 0) - frequency * count[t]``, where ``count[t]`` is how
    often t was generated.

    Args:
        logits: shape (V,), not changed.
        generated: the ids of the answer so far, without the prompt's, shape (N,), int64, N may
            be 0.
        presence: taken off once for each token that occurred; negative encourages it.
        frequency: taken off for each time it occurred; negative encourages it.

    Returns:
        Shape (V,), in the dtype of ``logits``.

    Source: OpenAI API reference, "Advanced usage: frequency and presence penalties".
    """
    seen, counts = generated.unique(return_counts=True)
    penalised = logits.clone()
    penalised[seen] -= (presence + frequency * counts).to(logits.dtype)
    return penalised
