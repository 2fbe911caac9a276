"""Scaled dot-product attention with grouped queries."""

import torch
from torch import Tensor

__all__ = ["attention"]

# Queries are taken in blocks: a block's scores stay small enough for the cache, and the keys in
# the future of a whole block are never multiplied, which halves the work of a long prompt.
QUERY_BLOCK = 64


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """Attend from every query to the keys it may see: ``softmax(q @ k^T / sqrt(D)) @ v``.

    Query heads share key/value heads in groups: with ``G = H / H_kv``, query heads
    ``g * G ... g * G + G - 1`` read key/value head ``g``. ``H_kv = H`` is multi-head attention,
    ``H_kv = 1`` multi-query attention.

    The T queries are the *last* T of the S positions, as in generation with a cache: causal, the
    query ``t`` sees the keys ``0 ... S - T + t`` and no later one.

    Args:
        q: queries, shape (B, H, T, D).
        k: keys, shape (B, H_kv, S, D).
        v: values, shape (B, H_kv, S, D).
        causal: hide the keys after each query's own position; False shows all S keys to all.

    Returns:
        Shape (B, H, T, D), in the dtype of ``q``. The inputs are not changed, and gradients flow
        to all three.

    Raises:
        ValueError: k and v differ in shape, B or D differs between q and k, H is not a multiple
            of H_kv, or causal with T > S (the first queries would see nothing).

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.1, equation 1;
    Ainslie et al. 2023, "GQA", section 2.2.
    """
    B, H, T, D = q.shape
    H_kv, S = k.shape[1], k.shape[2]
    if k.shape != v.shape:
        raise ValueError(f"k {tuple(k.shape)} and v {tuple(v.shape)} must have the same shape")
    if k.shape[0] != B or k.shape[3] != D:
        raise ValueError(f"q {tuple(q.shape)} and k {tuple(k.shape)} must agree in B and D")
    if H % H_kv:
        raise ValueError(f"{H} query heads cannot share {H_kv} key/value heads evenly")
    if causal and T > S:
        raise ValueError(f"{T} causal queries need at least as many keys, and there are {S}")

    G = H // H_kv
    q = (q * D**-0.5).view(B, H_kv, G, T, D)
    side = min(T, QUERY_BLOCK)
    mask = torch.full((side, side), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
    outputs = []
    for start in range(0, T, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, T)
        b = stop - start
        visible = S - T + stop if causal else S
        # The G query heads of a group stand under one another: one product for each key head.
        block = q[:, :, :, start:stop].reshape(B, H_kv, G * b, D)
        scores = block @ k[:, :, :visible].transpose(-2, -1)  # (B, H_kv, G * b, visible)
        if causal and b > 1:  # only the last b visible keys are in the future of any query here
            scores.view(B, H_kv, G, b, visible)[..., -b:] += mask[:b, :b]
        weights = torch.softmax(scores, dim=-1)
        out = weights @ v[:, :, :visible]  # (B, H_kv, G * b, D)
        outputs.append(out.view(B, H, b, D))
    return torch.cat(outputs, dim=2)
