"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the first step learns nothing": ("peak * (step + 1) / (warmup + 1)", "peak * step / warmup"),
    "the peak is reached a step early": ("(step + 1) / (warmup + 1)", "(step + 1) / warmup"),
    "no warm-up": ("if step < warmup:", "if False:"),
    "a linear decay": ("math.sqrt(min(1.0, into / decay))", "min(1.0, into / decay)"),
    "the root of what is left": (
        "(1 - math.sqrt(min(1.0, into / decay)))",
        "math.sqrt(1 - min(1.0, into / decay))",
    ),
    "the decay begins a step late": ("into = step - (", "into = step - 1 - ("),
    "the decay ends a step early": ("into / decay))", "(into + 1) / decay))"),
    "the decay begins with the plateau": ("into = step - (steps - decay)", "into = step - warmup"),
    "the decay is measured over all steps": ("into / decay))", "into / steps))"),
    "no decay": ("if decay == 0 or into <= 0:", "if True:"),
    "a decay of nothing divides by zero": ("if decay == 0 or into <= 0:", "if into <= 0:"),
    "after the end the rate is negative": ("min(1.0, into / decay)", "into / decay"),
    "negative numbers are taken": ("min(step, warmup, decay, peak) < 0 or ", ""),
    "phases that do not fit": (" or warmup + decay > steps", ""),
}
