"""Attention in tiles, with a running softmax: exact, and without the matrix of scores."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["flash_attention"]

TILE = 64  # queries, and keys, that are taken together


def flash_attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """``softmax(q @ k^T / sqrt(D)) @ v``, as `groundup.models.attention`, in memory linear in S.

    Forward: for each tile of queries, the tiles of keys are read one after another. Of each query
    three things are kept: the largest score so far m, the sum l of exp(score - m), and the sum o of
    exp(score - m) * value. A tile with a larger score rescales l and o by exp(m - new m). At the
    end the output is o / l; of the softmax only the logarithm of its sum, m + log(l), is kept.

    Backward: tiles of the weights P are computed again, as exp(score - m - log(l)). With the
    gradient ``g`` of the output, and for each query r = sum over the features of g * output:

        dv = P^T @ g,   dS = P * (g @ v^T - r),   dq = dS @ k / sqrt(D),   dk = dS^T @ q / sqrt(D)

    The T queries are the *last* T of the S positions, and query heads share key/value heads in
    groups, in order, as in `groundup.models.attention`.

    Args:
        q: queries, shape (B, H, T, D).
        k: keys, shape (B, H_kv, S, D).
        v: values, shape (B, H_kv, S, D).
        causal: hide the keys after each query's own position; False shows all S keys to all.

    Returns:
        Shape (B, H, T, D), in the dtype of ``q``. No tensor of T * S numbers is made, forward or
        backward, and tiles that are hidden altogether are not computed. The inputs are not changed,
        and gradients flow to all three; it can be differentiated once.

    Raises:
        ValueError: k and v differ in shape, B or D differs between q and k, H is not a multiple of
            H_kv, or causal with T > S.

    Source: Dao et al. 2022, "FlashAttention", algorithms 1 and 4; Milakov and Gimelshein 2018,
    "Online normalizer calculation for softmax", algorithm 3.
    """
    B, H, T, D = q.shape
    H_kv, S = k.shape[1], k.shape[2]
    if k.shape != v.shape or k.shape[0] != B or k.shape[3] != D:
        shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)} and v {tuple(v.shape)}"
        raise ValueError(f"{shapes} must agree in B and D, and k and v in all")
    if H % H_kv:
        raise ValueError(f"{H} query heads cannot share {H_kv} key/value heads evenly")
    if causal and T > S:
        raise ValueError(f"{T} causal queries need at least as many keys, and there are {S}")
    # Groups stand on an axis of their own, over which k and v are broadcast.
    grouped = q.reshape(B, H_kv, H // H_kv, T, D)
    out: Tensor = _Tiled.apply(grouped, k[:, :, None], v[:, :, None], causal)  # type: ignore[no-untyped-call]
    return out.view(B, H, T, D)


def _tiles(T: int, S: int, causal: bool, device: torch.device) -> Any:
    """Every tile that is not hidden: a slice of queries, one of keys, and what is hidden inside."""
    for start in range(0, T, TILE):
        rows = slice(start, min(start + TILE, T))
        seen = S - T + rows.stop if causal else S  # keys that the last of these queries sees
        for first in range(0, seen, TILE):
            columns = slice(first, min(first + TILE, seen))
            hidden = None
            if causal and columns.stop > S - T + rows.start + 1:
                positions = torch.arange(S - T + rows.start, S - T + rows.stop, device=device)
                hidden = positions[:, None] < torch.arange(first, columns.stop, device=device)
            yield rows, columns, hidden


def _scores(q: Tensor, k: Tensor, hidden: Tensor | None) -> Tensor:
    scores: Tensor = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """``q`` (B, H_kv, G, T, D), ``k`` and ``v`` (B, H_kv, 1, S, D)."""
        T, S = q.shape[-2], k.shape[-2]
        wide = torch.promote_types(q.dtype, torch.float32)  # sums of narrow numbers lose digits
        out = q.new_zeros(q.shape, dtype=wide)
        largest = q.new_full((*q.shape[:-1], 1), -torch.inf, dtype=wide)
        total = torch.zeros_like(largest)
        for rows, columns, hidden in _tiles(T, S, causal, q.device):
            tile = _scores(q[..., rows, :].to(wide), k[..., columns, :].to(wide), hidden)
            before = largest[..., rows, :]
            now = torch.maximum(before, tile.amax(dim=-1, keepdim=True))
            weights = torch.exp(tile - now)
            rescale = torch.exp(before - now)
            largest[..., rows, :] = now
            total[..., rows, :] = total[..., rows, :] * rescale + weights.sum(-1, keepdim=True)
            values = weights @ v[..., columns, :].to(wide)
            out[..., rows, :] = out[..., rows, :] * rescale + values
        out = (out / total).to(q.dtype)
        ctx.save_for_backward(q, k, v, out, largest + total.log())
        ctx.causal = causal
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, log_total = ctx.saved_tensors
        wide = log_total.dtype
        dq = torch.zeros_like(q, dtype=wide)
        dk, dv = torch.zeros_like(k, dtype=wide), torch.zeros_like(v, dtype=wide)
        gradient = gradient.to(wide)
        along = (gradient * out.to(wide)).sum(dim=-1, keepdim=True)  # (B, H_kv, G, T, 1)
        scale = q.shape[-1] ** -0.5
        for rows, columns, hidden in _tiles(q.shape[-2], k.shape[-2], ctx.causal, q.device):
            some_q, some_k = q[..., rows, :].to(wide), k[..., columns, :].to(wide)
            g = gradient[..., rows, :]
            weights = torch.exp(_scores(some_q, some_k, hidden) - log_total[..., rows, :])
            slope = weights * (
                g @ v[..., columns, :].to(wide).transpose(-2, -1) - along[..., rows, :]
            )
            dq[..., rows, :] += slope @ some_k * scale
            # The heads of a group share their key and value, so their gradients add up.
            dk[..., columns, :] += (slope.transpose(-2, -1) @ some_q * scale).sum(2, keepdim=True)
            dv[..., columns, :] += (weights.transpose(-2, -1) @ g).sum(2, keepdim=True)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None
