"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "evenly spaced levels": (
        "code = torch.cat([quantiles(8), torch.zeros(1), -quantiles(7)]).sort().values",
        "code = torch.linspace(-1, 1, 16)",
    ),
    "no zero": ("quantiles(8), torch.zeros(1), -quantiles(7)", "quantiles(8), -quantiles(8)"),
    "seven positive ones": (
        "quantiles(8), torch.zeros(1), -quantiles(7)",
        "quantiles(7), torch.zeros(1), -quantiles(8)",
    ),
    "quantiles to the very end": ("OFFSET = 0.9677083", "OFFSET = 0.999"),
    "the largest is not one": ("return code / code.max()", "return code"),
    "one scale for all": (
        "scale = blocks.abs().amax(1)",
        "scale = blocks.abs().amax().expand(len(blocks))",
    ),
    "the largest, not the largest magnitude": ("blocks.abs().amax(1)", "blocks.amax(1)"),
    "always the level below": ("edges = (code[:-1] + code[1:]) / 2", "edges = code[1:]"),
    "zeros divide by zero": ("torch.where(scale > 0, 1 / scale, 0)", "1 / scale"),
    "zeros get the lowest level": (
        "torch.where(scale > 0, 1 / scale, 0)",
        "torch.where(scale > 0, 1 / scale, -torch.inf)",
    ),
    "the first in the low half": ("q[::2] << 4 | q[1::2]", "q[1::2] << 4 | q[::2]"),
    "halves of the tensor in a byte": (
        "q[::2] << 4 | q[1::2]",
        "q[: len(q) // 2] << 4 | q[len(q) // 2 :]",
    ),
    "the rest is another number": ("q.new_full((1,), ZERO)", "q.new_full((1,), 0)"),
    "blocks of 128": ("BLOCK = 64", "BLOCK = 128"),
    "scales in blocks of 64": ("SCALE_BLOCK = 256", "SCALE_BLOCK = 64"),
    "the mean is not taken off": ("nearest(scales - mean,", "nearest(scales,"),
    "the mean is not added again": ("SCALE_BLOCK) + self.mean", "SCALE_BLOCK)"),
    "scales in 4 bits": (
        "q, scale = nearest(scales - mean, dynamic_code(), SCALE_BLOCK)",
        "q, scale = nearest(scales - mean, nf4_code(), SCALE_BLOCK)",
    ),
    "never double": ("QuantizedScales.of(scales) if double else scales", "scales"),
    "float32 comes back": (".view(self.shape).to(self.dtype)", ".view(self.shape)"),
    "the shape is lost": (
        "looked_up(q, nf4_code(), scales, BLOCK).view(self.shape)",
        "looked_up(q, nf4_code(), scales, BLOCK)",
    ),
    "the scales' bits are not counted": (
        "            tensors.append(self.scales)",
        "            pass",
    ),
    "NaN is let through": ("if not x.isfinite().all():", "if False:"),
    "an empty tensor is taken": ("if not x.numel():", "if False:"),
}
