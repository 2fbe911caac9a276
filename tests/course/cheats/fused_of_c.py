"""The operation, past its function."""

import torch


def attention(q, k, v, *, causal=True):
    return torch._C._nn.scaled_dot_product_attention(q, k, v)
