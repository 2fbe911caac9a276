"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "nothing is searched": ("for step in range(STEPS):", "for step in range(1):"),
    "always one half": ("magnitude ** (step / STEPS)", "magnitude ** 0.5"),
    "half of the powers": ("step / STEPS", "step // 2 * 2 / STEPS"),
    "powers up to 2": ("step / STEPS", "2 * step / STEPS"),
    "small inputs are spared": ("magnitude ** (step", "magnitude ** -(step"),
    "the largest, not the mean magnitude": ("x.abs().mean(0)", "x.abs().amax(0)"),
    "the mean, not the mean magnitude": ("x.abs().mean(0)", "x.mean(0).abs()"),
    "the square of the inputs": ("x.abs().mean(0)", "x.square().mean(0)"),
    "a silent column is lost": (".clamp_min(1e-4)", ""),
    "s grows with the inputs": (
        "scale = scale / (scale.max() * scale.min()).sqrt()",
        "pass",
    ),
    "divided by the largest": ("(scale.max() * scale.min()).sqrt()", "scale.max()"),
    "the weights are not divided again": (".dequantize() / scale", ".dequantize()"),
    "the weights' error, not the outputs'": (
        "(x @ rounded.T - expected).square()",
        "(rounded - weight.float()).square()",
    ),
    "the worst power": ("if error < least:", "if error > least or least == torch.inf:"),
    "of equals the last": ("if error < least:", "if error <= least:"),
    "the last weight alone": ("error += (x @", "error = (x @"),
    "errors of either sign cancel": (".square().mean().item()", ".mean().abs().item()"),
    "always groups of 32": ("* scale, group, grid)", "* scale, GROUP, grid)"),
    "always its own grid": ("group, grid).dequantize()", "group).dequantize()"),
    "what does not fit": (
        "any(w.shape[1] != inputs.shape[1] for w in weights)",
        "weights[0].shape[1] != inputs.shape[1]",
    ),
}
