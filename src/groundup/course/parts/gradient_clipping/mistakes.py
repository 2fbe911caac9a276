"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "each gradient is clipped by itself": (
        "        torch._foreach_mul_(gradients, limit / norm)",
        "        for g in gradients:\n            g.mul_(min(1.0, limit / float(g.norm())))",
    ),
    "each value is clipped": (
        "torch._foreach_mul_(gradients, limit / norm)",
        "torch._foreach_clamp_max_(gradients, limit)",
    ),
    "the squares are summed without a root": (".sum().sqrt())", ".sum())"),
    "the norms are summed": (".double().square()", ".double()"),
    "the largest norm": ("torch.stack(squares).sum().sqrt()", "torch.stack(squares).max().sqrt()"),
    "the mean of the squares": ("torch.stack(squares).sum()", "torch.stack(squares).mean()"),
    "small gradients grow": ("if limit < norm < float", "if norm < float"),
    "the factor is upside down": ("limit / norm)", "norm / limit)"),
    "nothing is scaled": ("torch._foreach_mul_(gradients, limit / norm)", "pass"),
    "a copy is scaled": (
        "torch._foreach_mul_(gradients, limit / norm)",
        "torch._foreach_mul([g for g in gradients], limit / norm)",
    ),
    "the norm after clipping is returned": ("    return norm\n", "    return min(norm, limit)\n"),
    "an infinite norm makes zeros of all": ('norm < float("inf"):', "norm:"),
    "a NaN spreads": (
        'if limit < norm < float("inf"):',
        'if not norm <= limit and norm != float("inf"):',
    ),
    "squares in the gradients' own dtype": (
        "whole(torch.linalg.vector_norm(gradient, dtype=wide)).double().square()",
        "gradient.square().sum().double()",
    ),
    "parameters without a gradient get one": (
        "gradients = [p.grad for p in parameters if p.grad is not None]",
        "parameters = list(parameters)\n    for p in parameters:\n        if p.grad is None:\n"
        "            p.grad = torch.zeros_like(p)\n    gradients = [p.grad for p in parameters]",
    ),
    "the parameters are scaled": (
        "    gradients = [p.grad for p in parameters if p.grad is not None]",
        "    parameters = list(parameters)\n"
        "    gradients = [p.grad for p in parameters if p.grad is not None]\n"
        "    torch._foreach_mul_([p for p in parameters if p.grad is not None], 0.5)",
    ),
    "a limit of zero is taken": ("if not limit > 0:", "if limit < 0:"),
    "NaN is taken for a limit": ("if not limit > 0:", "if limit <= 0:"),
}
