"""Ten GiB at once."""

import torch


def attention(q, k, v, *, causal=True):
    x = torch.ones(10 << 30, dtype=torch.uint8)
    return q + len(x)
