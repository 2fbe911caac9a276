"""The quickest attention for training, under the signature of ours."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["fused_attention"]


QUERY_BLOCK = 128  # of the plain products


def fused_attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """As `groundup.models.attention`, computed by torch's fused operation.

    In bfloat16 on a CPU its backward pass takes about ten times as long as the plain products
    (torch 2.13, 64 to 256 positions), which are computed there instead.

    Where a learner's attention is swapped in, models are made without it.

    Raises:
        ValueError: causal with more queries than keys.
    """
    T, S = q.shape[2], k.shape[2]
    if causal and T > S:
        raise ValueError(f"{T} causal queries need at least as many keys, and there are {S}")
    grouped = q.shape[1] != k.shape[1]
    if q.device.type == "cpu" and torch.is_grad_enabled():
        autocast = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if autocast else q.dtype
        if dtype == torch.bfloat16:
            return _products(q.to(dtype), k.to(dtype), v.to(dtype), causal)
    # Torch's own flag takes the queries for the first positions; they are the last.
    later = causal and 1 < T < S
    mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T) if later else None
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and T == S, enable_gqa=grouped
    )


def _products(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Two batched products, and a softmax between them that autocast does not widen.

    By blocks of queries, whose future keys are not multiplied; the heads that share keys are one.
    """
    (B, H, T, D), (H_kv, S) = q.shape, k.shape[1:3]
    q = q.reshape(B * H_kv, H // H_kv, T, D)
    k, v = k.flatten(0, 1), v.flatten(0, 1)  # (B * H_kv, S, D)
    outputs: list[Tensor] = []
    with torch.autocast("cpu", enabled=False):
        for start in range(0, T, QUERY_BLOCK):
            block = q[:, :, start : start + QUERY_BLOCK]
            b = block.shape[2]
            visible = S - T + start + b if causal else S
            mask = torch.zeros(b, visible, dtype=q.dtype)
            if causal:
                mask.fill_(-torch.inf).triu_(visible - b + 1)
            scores = torch.baddbmm(
                mask.repeat(H // H_kv, 1), block.flatten(1, 2), k[:, :visible].mT, alpha=D**-0.5
            )  # (B * H_kv, G * b, visible)
            out = torch.bmm(scores.softmax(-1), v[:, :visible])
            outputs.append(out.view(block.shape))
    return torch.cat(outputs, dim=2).view(B, H, T, D)
