"""NaN."""

import torch


def attention(q, k, v, *, causal=True):
    return torch.full_like(q, torch.nan)
