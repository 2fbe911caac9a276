"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "magnitudes of one": (
        "nn.Parameter(self.row_norms())",
        "nn.Parameter(torch.ones(base.out_features))",
    ),
    "magnitudes of columns": (
        "nn.Parameter(self.row_norms())",
        "nn.Parameter(base.weight.float().norm(dim=0)[:1].expand(base.out_features).clone())",
    ),
    "magnitudes that do not learn": (
        "nn.Parameter(self.row_norms())",
        "nn.Parameter(self.row_norms(), requires_grad=False)",
    ),
    "the base's lengths": (
        "(weight.square().sum(1) + (b * cross).sum(1))",
        "weight.square().sum(1)",
    ),
    "squared lengths": (".clamp(min=0).sqrt()", ".clamp(min=0)"),
    "the middle term once": ("cross = 2 * s *", "cross = s *"),
    "the middle term lost": ("cross = 2 * s * (weight @ a.T) +", "cross ="),
    "the scaling is not squared": ("+ s * s * (b", "+ s * (b"),
    "the lengths have a gradient": ("    @torch.no_grad()\n    def row_norms", "    def row_norms"),
    "the magnitude is not divided": ("(self.magnitude / self.row_norms())", "self.magnitude"),
    "the magnitude is added": ("y = gain * (y +", "y = gain + (y +"),
    "the base alone is scaled": (
        "y = gain * (y + self.addition(x) * self.scaling)",
        "y = gain * y + self.addition(x) * self.scaling",
    ),
    "the addition alone is scaled": (
        "y = gain * (y + self.addition(x) * self.scaling)",
        "y = y + gain * self.addition(x) * self.scaling",
    ),
    "the scaling is forgotten": ("self.addition(x) * self.scaling", "self.addition(x)"),
    "the bias is scaled": ("y = y - bias.to(x.dtype)", "pass"),
    "the bias is lost": ("return y if bias is None else y + bias.to(x.dtype)", "return y"),
    "merged like LoRA": (
        "rows = self.magnitude[:, None] * F.normalize(turned, dim=1)",
        "rows = turned",
    ),
    "merged with columns' lengths": ("F.normalize(turned, dim=1)", "F.normalize(turned, dim=0)"),
    "merged without the scaling": (", alpha=self.scaling", ""),
    "merged in float32": ("rows.to(weight.dtype)", "rows"),
}
