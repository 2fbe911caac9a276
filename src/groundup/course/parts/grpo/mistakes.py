"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the mean of all groups": ("rewards.mean(1, keepdim=True)", "rewards.mean()"),
    "the deviation of all groups": ("rewards.std(1, keepdim=True)", "rewards.std()"),
    "the deviation of a population": (
        "rewards.std(1, keepdim=True)", "rewards.std(1, keepdim=True, correction=0)"
    ),
    "the variance in the place of the deviation": ("rewards.std(1", "rewards.var(1"),
    "no mean is taken off": ("rewards - rewards.mean(1, keepdim=True)", "rewards.clone()"),
    "always scaled": ("    if scale:", "    if True:"),
    "never scaled": ("    if scale:", "    if False:"),
    "equal rewards leave a trace": ("advantages.masked_fill(equal, 0)", "advantages"),
    "one group of equal rewards silences all": (
        "advantages.masked_fill(equal, 0)", "advantages.masked_fill(equal.any(), 0)"
    ),
    "the maximum of both": ("torch.minimum(ratio", "torch.maximum(ratio"),
    "only the clipped ratio": (
        "torch.minimum(ratio * advantage, clipped * advantage)", "(clipped * advantage)"
    ),
    "nothing is clipped": (
        "torch.minimum(ratio * advantage, clipped * advantage)", "(ratio * advantage)"
    ),
    "clipped on one side alone": ("clamp(1 - clip, 1 + clip)", "clamp(max=1 + clip)"),
    "the sign is forgotten": ("losses = -torch", "losses = torch"),
    "the ratio is upside down": (
        "(log_probs - old_log_probs.detach().masked_fill(~mask, 0)).exp()",
        "(old_log_probs.detach().masked_fill(~mask, 0) - log_probs).exp()",
    ),
    "a difference in the place of a ratio": (
        ".masked_fill(~mask, 0)).exp()", ".masked_fill(~mask, 0)) + 1"
    ),
    "the old policy gets a gradient": ("old_log_probs.detach()", "old_log_probs"),
    "the penalty is a reward": ("losses + beta", "losses - beta"),
    "the penalty the other way round": (
        "k3(log_probs, reference.masked_fill(~mask, 0))",
        "k3(reference.masked_fill(~mask, 0), log_probs)",
    ),
    "beta is not used": ("losses + beta * k3", "losses + k3"),
    "padding is averaged too": (
        "losses.sum(1) / mask.sum(1).clamp_min(1)", "losses.mean(1)"
    ),
    "an answer without tokens is a NaN": ("mask.sum(1).clamp_min(1)", "mask.sum(1)"),
    "tokens are always averaged": ('if average == "token":', "if True:"),
    "answers are always averaged": ('if average == "token":', "if False:"),
    "the sum of the answers": (".clamp_min(1)).mean()", ".clamp_min(1)).sum()"),
    "what stands outside spoils the gradient": (
        "    log_probs = log_probs.masked_fill(~mask, 0)\n", ""
    ),
    "an empty mask is taken": ("if not mask.any():", "if False:"),
    "a penalty without a reference is left out": (
        "if beta and reference is None:", "if False:"
    ),
    "any average is taken": (
        'if average not in ("sequence", "token"):', "if False:"
    ),
    "groups of one are taken": ("rewards.shape[1] < 2", "rewards.shape[1] < 1"),
}  # fmt: skip
