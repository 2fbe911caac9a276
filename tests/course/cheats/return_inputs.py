"""The queries themselves."""

import torch


def attention(q, k, v, *, causal=True):
    return q
