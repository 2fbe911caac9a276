"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

FIRST = "first, last = max(0, S - T + start - window + 1), S - T + stop"

MISTAKES: dict[str, tuple[str, str]] = {
    "the window is one too wide": ("(distance >= window)", "(distance > window)"),
    "a query does not see itself": ("(distance < 0)", "(distance <= 0)"),
    "the future is seen": ("(distance < 0) | (distance >= window)", "distance.abs() >= window"),
    "no window": ("(distance < 0) | (distance >= window)", "distance < 0"),
    "all keys are multiplied": (FIRST, "first, last = 0, S - T + stop"),
    "whole blocks of windows": (
        "hidden = (distance < 0) | (distance >= window)",
        "hidden = (distance < 0) | (positions // window != torch.arange(first, last) // window)",
    ),
    "a block sees the window of its last query": (
        "max(0, S - T + start - window + 1)",
        "max(0, S - T + stop - window)",
    ),
    "T queries taken for the first positions": (
        "positions = torch.arange(S - T + start, last",
        "positions = torch.arange(start, stop",
    ),
    "the scores are not scaled": ("q * D**-0.5", "q * 1.0"),
    "hidden scores are zero": ("masked_fill(hidden, -torch.inf)", "masked_fill(hidden, 0.0)"),
    "groups interleaved": (
        "view(B, H_kv, H // H_kv, T, D)",
        "view(B, H // H_kv, H_kv, T, D).transpose(1, 2)",
    ),
    "no gradient through the weights": (
        "outputs.append(weights @",
        "outputs.append(weights.detach() @",
    ),
    "q scaled in place": ("q = (q * D**-0.5)", "q = q.mul_(D**-0.5)"),
    "a window of zero is taken": ("if window <= 0 or not causal:", "if window < 0 or not causal:"),
    "no check of the heads": ("if H % H_kv:", "if False:"),
}
