"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "16 steps": ("LEVELS = 15", "LEVELS = 16"),
    "7 bits' levels let through": (
        ".clamp(0, LEVELS).to(torch.uint8)",
        ".clamp(0, 255).to(torch.uint8)",
    ),
    "cut off instead of rounded": (".round().clamp", ".floor().clamp"),
    "the minimum is not taken off": ("((x - minimum) / scale)", "(x / scale)"),
    "the minimum is not rounded": ("in_float16(groups.amin(-1))", "groups.amin(-1)"),
    "the scale is not rounded": (
        "in_float16((spread / LEVELS).clamp_min(1e-7))",
        "(spread / LEVELS).clamp_min(1e-7)",
    ),
    "equal numbers divide by zero": (".clamp_min(1e-7)", ""),
    "the spread from zero": ("groups.amax(-1) - minimum", "groups.amax(-1)"),
    "symmetric about zero": ("groups.amin(-1)", "-groups.abs().amax(-1)"),
    "one grid for a row": (
        "scale, minimum = grid(groups)",
        "scale, minimum = (v.expand(groups.shape[:2]) for v in grid(groups.flatten(1)[:, None]))",
    ),
    "groups of columns far apart": ("reshape(M, -1, group)", "reshape(M, group, -1).mT"),
    "the minimum is not added again": (" + self.minimum[..., None])", ")"),
    "the number of groups for their size": (
        "return self.q.shape[1] // self.scale.shape[1]",
        "return self.scale.shape[1]",
    ),
    "groups of 64 where nothing is said": ("GROUP = 32", "GROUP = 64"),
    "a rest that fits no group": ("if group <= 0 or K % group:", "if group <= 0:"),
    "a group of zero": ("if group <= 0 or K", "if K"),
    "what float16 cannot hold is cut off": (
        "in_float16(groups.amin(-1))",
        "in_float16(groups.amin(-1).clamp_min(-65504))",
    ),
    "NaN is let through": ("if not weight.isfinite().all():", "if False:"),
    "always its own grid": ("minimum = grid(groups)", 'minimum = globals()["grid"](groups)'),
}
