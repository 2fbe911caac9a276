"""The kernel behind the operation."""

import torch


def attention(q, k, v, *, causal=True):
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]
