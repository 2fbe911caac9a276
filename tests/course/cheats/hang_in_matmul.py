"""A product that takes torch minutes."""

import torch


def attention(q, k, v, *, causal=True):
    return torch.linalg.matrix_power(torch.eye(3000), 2**40 - 1)
