"""Changes around it that do no harm."""

import os
import sys
import warnings

import numpy as np
import torch

os.chdir("/")
sys.path.insert(0, "/nowhere")
sys.stdout = sys.stderr
sys.setrecursionlimit(5000)
np.seterr(all="raise")
torch.manual_seed(7)
torch.set_printoptions(precision=2)
torch.notes = "a new name in torch"
warnings.warn("one is free to", stacklevel=1)


def attention(q, k, v, *, causal=True):
    (B, H, T, D), (H_kv, S) = q.shape, k.shape[1:3]
    if k.shape != v.shape or k.shape[::3] != (B, D) or H % H_kv or (causal and T > S):
        raise ValueError("the shapes do not fit")
    k, v = (x.repeat_interleave(H // H_kv, dim=1) for x in (k, v))
    scores = q @ k.transpose(-2, -1) / D**0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(T, S, dtype=torch.bool).tril(S - T), -torch.inf)
    return torch.softmax(scores, dim=-1) @ v
