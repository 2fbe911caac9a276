"""The module that does it all."""

import torch


def attention(q, k, v, *, causal=True):
    x = q.transpose(1, 2).flatten(2)
    return torch.nn.MultiheadAttention(x.shape[2], q.shape[1])(x, x, x)[0].view(q.shape)
