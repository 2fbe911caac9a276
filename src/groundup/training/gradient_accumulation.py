"""The gradient of a large batch from several small ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["accumulate_gradients"]

IGNORED = -100  # a target that does not count: padding, or a prompt's token


def accumulate_gradients(
    loss_sum: Callable[[Tensor, Tensor], Tensor],
    micro_batches: Sequence[tuple[Tensor, Tensor]],
    *,
    tokens: float | None = None,
    before_last: Callable[[], None] | None = None,
) -> Tensor:
    """Add to the parameters' gradients those of the mean loss over all micro-batches.

    The mean is over *targets*: micro-batches whose targets are partly `IGNORED` weigh less. The
    mean of the micro-batches' means would weigh the targets of short ones more. One micro-batch's
    activations are in memory at a time: each is differentiated before the next is read.

    Args:
        loss_sum: inputs and targets to the sum of the losses of all targets that count, a scalar
            that depends on the parameters.
        micro_batches: pairs of inputs and integer targets, at least one pair.
        tokens: what the sums are divided by; None counts the targets that are not `IGNORED`. Given
            where these are not all: in distributed training.
        before_last: called once, before the last micro-batch is read: there distributed training
            switches on the exchange of gradients, which the others do not need.

    Returns:
        The sum of the losses divided by ``tokens``, a scalar without a gradient of its own.

    Raises:
        ValueError: there is no micro-batch, or no target counts.
    """
    if not micro_batches:
        raise ValueError("there is no micro-batch")
    if tokens is None:
        tokens = sum(int((targets != IGNORED).sum()) for _, targets in micro_batches)
    if not tokens > 0:
        raise ValueError(f"{tokens} targets count: a mean needs at least one")
    losses = []
    for number, (inputs, targets) in enumerate(micro_batches, start=1):
        if before_last is not None and number == len(micro_batches):
            before_last()
        loss = loss_sum(inputs, targets) / tokens
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()
