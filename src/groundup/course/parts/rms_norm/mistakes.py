"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the sum of squares instead of their mean": (".mean(dim=", ".sum(dim="),
    "the variance, as in layer normalisation": (
        "wide.square().mean(dim=-1, keepdim=True)",
        "wide.var(dim=-1, keepdim=True, correction=0)",
    ),
    "the mean is subtracted": ("(wide * inverse)", "((wide - wide.mean(-1, True)) * inverse)"),
    "the mean of the absolute values": (
        "torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)",
        "1 / (wide.abs().mean(dim=-1, keepdim=True) + self.eps)",
    ),
    "no square root": ("torch.rsqrt(wide", "torch.reciprocal(wide"),
    "one mean for the whole tensor": (".mean(dim=-1, keepdim=True)", ".mean()"),
    "the mean over the rows": (".mean(dim=-1, keepdim=True)", ".mean(dim=0, keepdim=True)"),
    "no eps": (" + self.eps)", ")"),
    "eps added to the root": (
        "torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)",
        "1 / (wide.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)",
    ),
    "eps added to the vector": ("(wide * inverse)", "((wide + self.eps) * inverse)"),
    "always the default eps": ("self.eps = eps", "self.eps = 1e-6"),
    "eps of zero refused": ("if eps < 0:", "if eps <= 0:"),
    "computed in the dtype of x": ("x if x.dtype == torch.float64 else x.float()", "x"),
    "float64 computed in float32": ("x if x.dtype == torch.float64 else x.float()", "x.float()"),
    "the root rounded to the dtype of x": (
        "(wide * inverse).to(x.dtype)",
        "(x * inverse.to(x.dtype))",
    ),
    "the dtype of the computation": (".to(x.dtype)", ""),
    "the weight is not used": (" * self.weight", ""),
    "one plus the weight": (" * self.weight", " * (1 + self.weight)"),
    "the weight starts at zeros": ("torch.ones(dim)", "torch.zeros(dim)"),
    "a weight that is no parameter": (
        "self.weight = nn.Parameter(torch.ones(dim))",
        'self.register_buffer("weight", torch.ones(dim))',
    ),
    "a bias besides": (
        "self.weight = nn.Parameter(torch.ones(dim))",
        "self.weight = nn.Parameter(torch.ones(dim)); self.bias = nn.Parameter(torch.zeros(dim))",
    ),
    "x scaled in place": ("(wide * inverse)", "wide.detach().mul_(inverse)"),
    "no gradient through the root": ("torch.rsqrt(wide.", "torch.rsqrt(wide.detach()."),
    "no gradient of the weight": (" * self.weight", " * self.weight.detach()"),
    "the result kept for the same tensor": (
        "    def forward(",
        '    @__import__("functools").cache\n    def forward(',
    ),
    "zeros": (" * self.weight", " * 0 * self.weight"),
    "x itself": ("return (wide * inverse).to(x.dtype) * self.weight", "return x"),
    "no check of dim": ("if dim <= 0:", "if False:"),
    "no check of eps": ("if eps < 0:", "if False:"),
    "no check of the last axis": ("if x.shape[-1:] != self.weight.shape:", "if False:"),
}
