"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "one scale for all rows": (
        "x.abs().amax(-1, keepdim=True)",
        "x.abs().amax().expand(*x.shape[:-1], 1)",
    ),
    "128 steps": ("largest / 127", "largest / 128"),
    "255 steps": ("largest / 127", "2 * largest / 255"),
    "the largest, not the largest magnitude": ("x.abs().amax", "x.amax"),
    "cut off instead of rounded": (".round()", ".trunc()"),
    "rounded down": (".round()", ".floor()"),
    "computed in the dtype of x": ("x = x.float()", "pass"),
    "rows of zeros divide by zero": (".clamp_min(SMALLEST)", ""),
    "an eps that small rows notice": ("SMALLEST = 1e-30", "SMALLEST = 1e-5"),
    "the scale without its axis": ("torch.int8), scale", "torch.int8), scale.squeeze(-1)"),
    "the reciprocal of the scale": ("torch.int8), scale", "torch.int8), 1 / scale"),
    "NaN is let through": ("largest.isfinite().all()", "(largest < float('inf')).any()"),
}
