"""Ever more memory."""

import torch


def attention(q, k, v, *, causal=True):
    kept = []
    while True:
        kept.append(torch.empty(1 << 28))
