"""Attention to the last few positions alone: its cost grows with the length, not its square."""

import torch
from torch import Tensor

__all__ = ["sliding_window_attention"]

# Queries are taken in blocks; a block needs its own keys and those of a window before it.
QUERY_BLOCK = 64


def sliding_window_attention(
    q: Tensor, k: Tensor, v: Tensor, *, window: int, causal: bool = True
) -> Tensor:
    """Causal attention in which a query sees its own key and the ``window - 1`` before it.

    The query at position p sees the keys at positions p - window + 1 ... p, as far as there are
    such. What it learns of earlier ones, it learns through the layers below: after L layers it may
    depend on L * (window - 1) positions before it.

    The T queries are the *last* T of the S positions, as in generation with a cache, and query
    heads share key/value heads in groups, in order, as in `groundup.models.attention`.

    Args:
        q: queries, shape (B, H, T, D).
        k: keys, shape (B, H_kv, S, D).
        v: values, shape (B, H_kv, S, D).
        window: how many keys a query sees, itself included; positive.
        causal: must be True; windows to both sides are another thing.

    Returns:
        Shape (B, H, T, D), in the dtype of ``q``: softmax(q @ k^T / sqrt(D)) @ v over the keys that
        are seen. The work and the memory grow with T * window, not with T * S. The inputs are not
        changed, and gradients flow to all three.

    Raises:
        ValueError: window is not positive, causal is False, k and v differ in shape, B or D differs
            between q and k, H is not a multiple of H_kv, or T > S.

    Source: Beltagy et al. 2020, "Longformer", section 3.1; Jiang et al. 2023, "Mistral 7B",
    section 2.
    """
    B, H, T, D = q.shape
    H_kv, S = k.shape[1], k.shape[2]
    if window <= 0 or not causal:
        raise ValueError(f"expected a positive window and causal=True, got {window} and {causal}")
    if k.shape != v.shape or k.shape[0] != B or k.shape[3] != D:
        shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)} and v {tuple(v.shape)}"
        raise ValueError(f"{shapes} must agree in B and D, and k and v in all")
    if H % H_kv:
        raise ValueError(f"{H} query heads cannot share {H_kv} key/value heads evenly")
    if T > S:
        raise ValueError(f"{T} causal queries need at least as many keys, and there are {S}")
    q = (q * D**-0.5).view(B, H_kv, H // H_kv, T, D)
    k, v = k[:, :, None], v[:, :, None]  # (B, H_kv, 1, S, D)
    outputs = []
    for start in range(0, T, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, T)
        first, last = max(0, S - T + start - window + 1), S - T + stop  # the keys of this block
        positions = torch.arange(S - T + start, last, device=q.device)[:, None]
        distance = positions - torch.arange(first, last, device=q.device)
        hidden = (distance < 0) | (distance >= window)
        scores = q[..., start:stop, :] @ k[..., first:last, :].transpose(-2, -1)
        weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)
        outputs.append(weights @ v[..., first:last, :])  # (B, H_kv, G, b, D)
    return torch.cat(outputs, dim=-2).view(B, H, T, D)
