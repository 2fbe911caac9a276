"""The operation, in a language of its own."""

import torch
import torch.nn.functional as F


@torch.jit.script
def fused(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def attention(q, k, v, *, causal=True):
    return fused(q, k, v)
