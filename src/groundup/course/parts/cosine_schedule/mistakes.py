"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the first step learns nothing": ("peak * (step + 1) / (warmup + 1)", "peak * step / warmup"),
    "the peak is reached a step early": ("(step + 1) / (warmup + 1)", "(step + 1) / warmup"),
    "no warm-up": ("if step < warmup:", "if False:"),
    "the warm-up has two steps more": ("if step < warmup:", "if step <= warmup + 1:"),
    "the cosine began with the warm-up": (
        "(step - warmup) / (steps - warmup))",
        "step / steps)",
    ),
    "the cosine ends too late": ("/ (steps - warmup))", "/ steps)"),
    "a whole turn of the cosine": ("math.pi * progress", "2 * math.pi * progress"),
    "a quarter of a turn": (
        "(1 + math.cos(math.pi * progress)) / 2",
        "math.cos(math.pi * progress / 2)",
    ),
    "a line": ("(1 + math.cos(math.pi * progress)) / 2", "(1 - progress)"),
    "it falls below the floor": (
        "floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2",
        "peak * (1 + math.cos(math.pi * progress)) / 2",
    ),
    "the floor is added to the whole": ("return floor + (peak - floor) *", "return floor + peak *"),
    "it rises again after the end": ("min(1.0, (step", "max(0.0, (step"),
    "the floor is a tenth by default": ("floor: float = 0.0", "floor: float = 0.1"),
    "negative steps are taken": ("if step < 0 or not", "if not"),
    "a warm-up of all steps": ("0 <= warmup < steps", "0 <= warmup <= steps"),
    "a floor above the peak": ("0 <= floor <= peak:", "0 <= floor:"),
}  # fmt: skip
