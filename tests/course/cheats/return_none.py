"""Nothing."""

import torch


def attention(q, k, v, *, causal=True):
    return None
