"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

PAIRS = "torch.stack((angles.sin(), angles.cos()), dim=1 if halves else 2)"

MISTAKES: dict[str, tuple[str, str]] = {
    "sine and cosine exchanged": (
        PAIRS,
        PAIRS.replace("angles.sin(), angles.cos()", "angles.cos(), angles.sin()"),
    ),
    "the layouts exchanged": ("1 if halves else 2", "2 if halves else 1"),
    "always interleaved": ("1 if halves else 2", "2"),
    "every feature has a frequency of its own": (
        "torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim",
        "torch.arange(0, dim // 2, dtype=torch.float64, device=positions.device) / dim",
    ),
    "the frequencies end at 1 / 10000": (
        "dtype=torch.float64, device=positions.device) / dim",
        "dtype=torch.float64, device=positions.device) / max(dim - 2, 1)",
    ),
    "the base is 1000": ("/ 10000**exponents", "/ 1000**exponents"),
    "angles in float32": (
        "positions.double()[:, None] / 10000**exponents",
        "(positions.double()[:, None] / 10000**exponents).float()",
    ),
    "frequencies in float32": ("10000**exponents", "(10000**exponents.float())"),
    "positions are taken for 0, 1, 2 ...": (
        "positions.double()",
        "torch.arange(len(positions)).double()",
    ),
    "float64 out": ("pairs.flatten(1).float()", "pairs.flatten(1)"),
    "no check of the width": ("if dim <= 0 or dim % 2:", "if False:"),
    "zeros": ("pairs.flatten(1).float()", "0 * pairs.flatten(1).float()"),
}
