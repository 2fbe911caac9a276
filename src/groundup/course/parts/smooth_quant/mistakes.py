"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "upside down": (
        "inputs.clamp_min(SMALLEST) ** strength / outputs ** (1 - strength)",
        "outputs ** (1 - strength) / inputs.clamp_min(SMALLEST) ** strength",
    ),
    "multiplied by the weights' size": ("** strength / outputs", "** strength * outputs"),
    "the same power for both": ("outputs ** (1 - strength)", "outputs ** strength"),
    "the powers exchanged": (
        "** strength / outputs ** (1 - strength)",
        "** (1 - strength) / outputs ** strength",
    ),
    "always one half": ("** strength / outputs ** (1 - strength)", "** 0.5 / outputs ** 0.5"),
    "the first weight alone": (
        "for weight in weights]).amax(0)",
        "for weight in weights[:1]]).amax(0)",
    ),
    "the mean of the weights' largest": ("]).amax(0).float()", "]).mean(0).float()"),
    "the largest weight, not the largest magnitude": ("weight.abs().amax(0)", "weight.amax(0)"),
    "of each output, not of each input": (
        "[weight.abs().amax(0) for",
        "[weight.abs().amax().expand(weight.shape[1]) for",
    ),
    "columns without inputs get something": ("torch.where(inputs > 0, scale, 1)", "scale"),
    "columns without inputs are lost": ("(inputs > 0, scale, 1)", "(inputs > 0, scale, 0)"),
    "columns without weights are divided by zero": (
        "largest_weight.clamp_min(SMALLEST)",
        "largest_weight",
    ),
    "computed in the weights' dtype": (
        "return torch.where(inputs > 0, scale, 1)",
        "return torch.where(inputs > 0, scale.to(weights[0].dtype).float(), 1)",
    ),
    "any strength is taken": ("if not 0 <= strength <= 1:", "if strength < 0:"),
    "no strength of 1": ("if not 0 <= strength <= 1:", "if not 0 <= strength < 1:"),
    "one weight that fits is enough": ("if any(weight.shape[1:]", "if all(weight.shape[1:]"),
    "a weight is changed": ("[weight.abs().amax(0) for", "[weight.abs_().amax(0) for"),
}
