"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

FIRST = "torch.addcmul(first * cos, second, sin, value=-1)"
SECOND = "torch.addcmul(second * cos, first, sin)"
JOIN = "torch.cat((turned_first, turned_second), dim=-1)"
INTERLEAVE = "torch.stack((turned_first, turned_second), dim=-1).flatten(-2)"

MISTAKES: dict[str, tuple[str, str]] = {
    "neighbours as pairs": (
        f"first, second = x.chunk(2, dim=-1)\n    turned_first = {FIRST}\n"
        f"    turned_second = {SECOND}\n    turned = {JOIN}",
        f"first, second = x[..., ::2], x[..., 1::2]\n    turned_first = {FIRST}\n"
        f"    turned_second = {SECOND}\n    turned = {INTERLEAVE}",
    ),
    "the results interleaved": (JOIN, INTERLEAVE),
    "turned backwards": (
        f"{FIRST}\n    turned_second = {SECOND}",
        "first * cos + second * sin\n    turned_second = second * cos - first * sin",
    ),
    "both signs plus": (FIRST, "first * cos + second * sin"),
    "the second half alone in the second sum": (SECOND, "second * cos + second * sin"),
    "cosine and sine exchanged": (
        "return angles.cos(), angles.sin()",
        "return angles.sin(), angles.cos()",
    ),
    "the halves exchanged": ("first, second = x.chunk", "second, first = x.chunk"),
    "the frequencies rise": ("1.0 / base**exponents", "base**exponents"),
    "the exponent grows half as fast": (
        "torch.arange(0, head_dim, 2, dtype=torch.float32)",
        "torch.arange(head_dim // 2, dtype=torch.float32)",
    ),
    "the pairs counted from 1": (
        "torch.arange(0, head_dim, 2, dtype=torch.float32)",
        "torch.arange(2, head_dim + 2, 2, dtype=torch.float32)",
    ),
    "the exponent divided by the number of pairs": ("torch.float32) /", "torch.float32) * 2 /"),
    "always the base of the paper": ("1.0 / base**exponents", "1.0 / 10000.0**exponents"),
    "frequencies in float64": ("dtype=torch.float32", "dtype=torch.float64"),
    "positions counted from the start": (
        "positions[:, None].float()",
        "(positions - positions[0])[:, None].float()",
    ),
    "positions taken as 0 to T - 1": (
        "positions[:, None].float()",
        "torch.arange(len(positions))[:, None].float()",
    ),
    "positions from 1": ("positions[:, None].float()", "(positions + 1)[:, None].float()"),
    "positions in bfloat16": ("positions[:, None].float()", "positions[:, None].bfloat16()"),
    "positions sorted": ("positions[:, None].float()", "positions.sort()[0][:, None].float()"),
    "angles in bfloat16": (
        "positions[:, None].float() * frequencies",
        "(positions[:, None].float() * frequencies).bfloat16().float()",
    ),
    "computed in the dtype of x": (
        "first, second = x.chunk(2, dim=-1)",
        "first, second = x.chunk(2, dim=-1); cos, sin = cos.to(x.dtype), sin.to(x.dtype)",
    ),
    "float64 computed in float32": ("= x.chunk(2", "= x.float().chunk(2"),
    "the dtype of the computation": ("turned.to(x.dtype)", "turned"),
    "turned in place": ("return turned.to(x.dtype)", "return x.copy_(turned)"),
    "no gradient": ("return turned.to(x.dtype)", "return turned.detach().to(x.dtype)"),
    "x itself": ("return turned.to(x.dtype)", "return x.clone()"),
    "the table kept for the same tensor": (
        "def rotary_table(",
        '@__import__("functools").cache\ndef rotary_table(',
    ),
    "the rotation kept for the same tensor": (
        "def rotate(",
        '@__import__("functools").cache\ndef rotate(',
    ),
    "zeros": ("return turned.to(x.dtype)", "return 0 * x"),
    "no check of head_dim": ("if head_dim <= 0 or head_dim % 2:", "if False:"),
    "no check that head_dim is even": ("head_dim <= 0 or head_dim % 2:", "head_dim <= 0:"),
    "no check of the base": ("if base <= 0:", "if False:"),
    "no check of the shapes": ("cos.shape != (T, D // 2) or sin.shape != cos.shape", "False"),
    "no check of sin": (" or sin.shape != cos.shape", ""),
}  # fmt: skip
