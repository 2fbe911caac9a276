"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the scores are not scaled": ("q * D**-0.5", "q * 1.0"),
    "scaled by D instead of its root": ("q * D**-0.5", "q * D**-1.0"),
    "the mask hides the query's own position": (".triu(1)", ".triu(0)"),
    "the mask shows one position of the future": (".triu(1)", ".triu(2)"),
    "no causal mask": ("if causal and b > 1:", "if False:"),
    "always causal": ("if causal and b > 1:", "if b > 1:"),
    "T queries taken as the first positions": (
        "visible = S - T + stop if causal else S",
        "visible = stop if causal else S",
    ),
    "groups interleaved": (
        "q = (q * D**-0.5).view(B, H_kv, G, T, D)",
        "q = (q * D**-0.5).view(B, G, H_kv, T, D).transpose(1, 2)",
    ),
    "softmax over the queries": ("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)"),
    "softmax by plain exponentials": (
        "torch.softmax(scores, dim=-1)",
        "scores.exp() / scores.exp().sum(-1, keepdim=True)",
    ),
    "zeros": ("out = weights @ v[:, :, :visible]", "out = 0 * weights @ v[:, :, :visible]"),
    "the queries themselves": (
        "return torch.cat(outputs, dim=2)",
        "return q.reshape(B, H, T, D)",
    ),
    "no gradient": ("weights = torch.softmax(scores, dim=-1)",
                    "weights = torch.softmax(scores, dim=-1).detach()"),
    "q scaled in place": ("q = (q * D**-0.5)", "q = q.mul_(D**-0.5)"),
    "float32 whatever the input": (
        "return torch.cat(outputs, dim=2)",
        "return torch.cat(outputs, dim=2).float()",
    ),
    "no check of the heads": ("if H % H_kv:", "if False:"),
    "only the last query is returned": (
        "torch.cat(outputs, dim=2)",
        "outputs[-1][:, :, -1:].expand(B, H, T, D)",
    ),
}  # fmt: skip
