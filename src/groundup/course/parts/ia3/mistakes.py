"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "factors of zero": ("torch.ones(base.in_features if", "torch.zeros(base.in_features if"),
    "inputs and outputs exchanged": ("self.inputs = inputs", "self.inputs = not inputs"),
    "always as many as outputs": (
        "base.in_features if inputs else base.out_features",
        "base.out_features",
    ),
    "one plus the factor": ("scale = self.scale.to(x.dtype)", "scale = 1 + self.scale.to(x.dtype)"),
    "one factor for all": (
        "scale = self.scale.to(x.dtype)",
        "scale = self.scale.mean().to(x.dtype)",
    ),
    "the factor is added": ("self.base(x) * scale", "self.base(x) + scale - 1"),
    "the bias is not scaled": (
        "else self.base(x) * scale",
        "else self.base(x) * scale\n        if self.base.bias is not None and not self.inputs:\n"
        "            y = y + self.base.bias * (1 - scale)",
    ),
    "no gradient": ("scale = self.scale.to(x.dtype)", "scale = self.scale.detach().to(x.dtype)"),
    "no gradient of x": ("self.base(x * scale)", "self.base(x.detach() * scale)"),
    "merged into the wrong axis": (
        "(self.scale if self.inputs else self.scale[:, None])",
        "(self.scale[:, None] if self.inputs else self.scale)",
    ),
    "merged without the bias": ("bias = (bias * self.scale).to(bias.dtype)", "pass"),
    "merged, and the inputs' bias scaled": (
        "bias = (bias * self.scale).to(bias.dtype)",
        "bias = (bias * self.scale).to(bias.dtype)\n"
        "        elif bias is not None:\n            bias = bias * self.scale.mean()",
    ),
    "merged in float32": ("return scaled.to(weight.dtype), bias", "return scaled.float(), bias"),
    "merged into the base itself": ("scaled = weight * (", "scaled = weight.mul_("),
}
