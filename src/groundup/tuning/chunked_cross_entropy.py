"""Cross-entropy over a large vocabulary, some rows at a time; the output layer is frozen."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["chunked_cross_entropy_sum"]

CHUNK = 128  # rows: more do not fit the cache, fewer pay for reading the matrix more often


def chunked_cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The sum of the cross-entropies of ``hidden @ weight.T``, whose scores are never all there.

    Of each chunk the gradient for its hidden states is computed with its loss: the scores are made
    once, and let go. They are rounded as the product rounds them; what follows is in float32.

    Args:
        hidden: shape (N, C).
        weight: of the output layer, shape (V, C); its dtype is that of the products. It gets no
            gradient.
        targets: shape (N,), int64.

    Returns:
        Shape (), float32, in nats.

    Source: Hsu et al. 2024, "Liger kernel", section 3.2 (FusedLinearCrossEntropy).
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, weight.detach(), targets)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), CHUNK):
                part = slice(start, start + CHUNK)
                scores = (hidden[part].to(weight.dtype) @ weight.T).float()  # (chunk, V)
                own = targets[part, None]
                at_target = scores.gather(1, own)
                normalizer = scores.logsumexp(1, keepdim=True)
                total += (normalizer - at_target).sum()
                if gradient is not None:
                    probabilities = scores.sub_(normalizer).exp_()
                    probabilities.scatter_add_(1, own, -torch.ones_like(at_target))
                    gradient[part] = probabilities.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None
