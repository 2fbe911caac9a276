"""One query after the other, in plain loops."""

import math

import torch


def attention(q, k, v, *, causal=True):
    (B, H, T, D), (H_kv, S) = q.shape, k.shape[1:3]
    if k.shape != v.shape or k.shape[::3] != (B, D) or H % H_kv or (causal and T > S):
        raise ValueError("the shapes do not fit")
    rows = []
    for b in range(B):
        for h in range(H):
            keys, values = k[b, h * H_kv // H], v[b, h * H_kv // H]
            for t in range(T):
                seen = S - T + t + 1 if causal else S
                scores = (keys[:seen] * q[b, h, t]).sum(-1) / math.sqrt(D)
                weights = (scores - scores.max()).exp()
                rows.append((weights / weights.sum()) @ values[:seen])
    return torch.stack(rows).view(B, H, T, D)
