"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the scores are not scaled": (
        "k.transpose(-2, -1) * q.shape[-1] ** -0.5",
        "k.transpose(-2, -1)",
    ),
    "the output is not rescaled": (
        "out[..., rows, :] * rescale + values",
        "out[..., rows, :] + values",
    ),
    "the sum is not rescaled": (
        "total[..., rows, :] * rescale + weights",
        "total[..., rows, :] + weights",
    ),
    "the largest score is that of the last tile": (
        "torch.maximum(before, tile.amax(dim=-1, keepdim=True))",
        "tile.amax(dim=-1, keepdim=True)",
    ),
    "plain exponentials": ("weights = torch.exp(tile - now)", "weights = torch.exp(tile)"),
    "each tile's softmax by itself": (
        "weights.sum(-1, keepdim=True)\n            values",
        "1\n            weights = weights / weights.sum(-1, keepdim=True)\n            values",
    ),
    "the mask hides the query's own position": (
        "hidden = positions[:, None] < torch.arange",
        "hidden = positions[:, None] <= torch.arange",
    ),
    "no mask inside tiles": ("if causal and columns.stop > S - T + rows.start + 1:", "if False:"),
    "T queries taken for the first positions": (
        "torch.arange(S - T + rows.start, S - T + rows.stop",
        "torch.arange(rows.start, rows.stop",
    ),
    "the last tile of keys is left out": (
        "for first in range(0, seen, TILE):",
        "for first in range(0, seen - TILE + 1 if seen > TILE else seen, TILE):",
    ),
    "no correction by the output in the backward pass": (" - along[..., rows, :]", ""),
    "the gradient of k is not scaled": ("@ some_q * scale)", "@ some_q)"),
    "the gradients of a group's heads are averaged": (
        "(slope.transpose(-2, -1) @ some_q * scale).sum(2",
        "(slope.transpose(-2, -1) @ some_q * scale).mean(2",
    ),
    "later tiles replace the gradient of k": (
        "dk[..., columns, :] += (slope",
        "dk[..., columns, :] = (slope",
    ),
    "the whole matrix, kept by autograd": (
        "    out: Tensor = _Tiled.apply(",
        "    if q.requires_grad:\n"
        "        s = _scores(grouped, k[:, :, None], None)\n"
        "        if causal:\n"
        "            s = s + torch.full((T, S), -torch.inf, dtype=s.dtype).triu(S - T + 1)\n"
        "        return (s.softmax(-1) @ v[:, :, None]).view(B, H, T, D)\n"
        "    out: Tensor = _Tiled.apply(",
    ),
    "sums in bfloat16": ("wide = torch.promote_types(q.dtype, torch.float32)", "wide = q.dtype"),
    "no check of the heads": ("if H % H_kv:", "if False:"),
}
