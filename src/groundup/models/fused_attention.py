"""PyTorch's own attention, under the signature of ours: for training, where speed is wanted."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["fused_attention"]


def fused_attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """As `groundup.models.attention`, computed by torch's fused operation.

    Where a learner's attention is swapped in, models are made without it.

    Raises:
        ValueError: causal with a number of queries that is neither that of the keys nor 1.
    """
    T, S = q.shape[2], k.shape[2]
    if causal and T not in (1, S):
        raise ValueError(f"fused causal attention takes as many queries as keys, or one: {T}, {S}")
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal and T > 1, enable_gqa=grouped)
