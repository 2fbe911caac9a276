"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "outliers are rounded with the rest": (
        "large = (rows.abs() >= self.threshold).any(0)",
        "large = torch.zeros(inputs, dtype=torch.bool)",
    ),
    "outliers are lost": ("if large.any():", "if False:"),
    "outliers count twice": ("rows.masked_fill(large, 0)", "rows"),
    "positive outliers alone": ("rows.abs() >=", "rows >="),
    "only above the threshold": (">= self.threshold", "> self.threshold"),
    "always 6": (">= self.threshold", ">= OUTLIER"),
    "rows with outliers, not columns": (
        "product += rows[:, large] @",
        "product += rows[:, large].masked_fill((rows[:, large].abs() < self.threshold), 0) @",
    ),
    "columns that are outliers throughout": ("self.threshold).any(0)", "self.threshold).all(0)"),
    "the weight's scale is forgotten": ("* scale * self.scale.T", "* scale"),
    "the input's scale is forgotten": ("* scale * self.scale.T", "* self.scale.T"),
    "the scale is forgotten for outliers": (
        "(self.q[:, large] * self.scale).T",
        "self.q[:, large].float().T",
    ),
    "summed in float32": (
        "return torch._int_mm(x, weight.T)",
        "return (x.float() @ weight.float().T).int()",
    ),
    "summed in bytes": (
        "return torch._int_mm(x, weight.T)",
        "return (x @ weight.T).int()",
    ),
    "the weight itself": ("rows.masked_fill(large, 0))", "rows.masked_fill(large, 0).half())"),
    "float32 comes out": (".to(x.dtype)", ""),
    "axes are lost": ("product.reshape(*x.shape[:-1], outputs)", "product"),
    "NaN for a threshold": ("if not threshold > 0:", "if threshold <= 0:"),
    "columns are not counted": ("if x.shape[-1] != inputs:", "if False:"),
}
