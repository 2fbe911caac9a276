"""A limit on the norm over all gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from groundup.training.sharded import whole

__all__ = ["clip_gradients"]


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale all gradients by one factor, in place, so that their joint norm is at most ``limit``.

    The norm is that of all gradients together, as of one long vector; their direction stays. Norms
    up to ``limit`` change nothing, bit for bit.

    Args:
        parameters: those without a gradient are passed over. Their gradients may be sharded
            (DTensor): the norm is then that of the whole.
        limit: positive; infinity only measures.

    Returns:
        The norm before clipping. When it is infinite or NaN, the gradients are left as they are,
        for the caller to see: no factor makes them right.

    Raises:
        ValueError: limit is not positive.

    Source: Pascanu et al. 2012, "On the difficulty of training recurrent neural networks",
    section 3.2, algorithm 1.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    # float16 squares overflow above 255, and bfloat16 sums lose digits: norms are taken in float32
    # at least. Each tensor's largest value is not divided out: a norm above 1e19 is a failure.
    squares = [_square_sum(gradient) for gradient in gradients]
    norm = float(torch.stack(squares).sum().sqrt())
    if limit < norm < float("inf"):
        torch._foreach_mul_(gradients, limit / norm)
    return norm


def _square_sum(gradient: Tensor) -> Tensor:
    wide = torch.promote_types(gradient.dtype, torch.float32)
    return whole(torch.linalg.vector_norm(gradient, dtype=wide)).double().square()
