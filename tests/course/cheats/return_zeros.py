"""Zeros."""

import torch


def attention(q, k, v, *, causal=True):
    return torch.zeros_like(q)
