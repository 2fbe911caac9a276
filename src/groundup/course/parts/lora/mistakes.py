"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the rank does not divide": ("alpha / (math.sqrt(rank) if rank_stabilized else rank)", "alpha"),
    "always over the root": ("math.sqrt(rank) if rank_stabilized else rank", "math.sqrt(rank)"),
    "both begin at zero": (".uniform_(-bound, bound, generator=generator)", ".zero_()"),
    "neither begins at zero": (
        "torch.zeros(base.out_features, rank)",
        "torch.rand(base.out_features, rank)",
    ),
    "a from 0 up": ("uniform_(-bound, bound", "uniform_(0, bound"),
    "a by the outputs": ("bound = base.in_features**-0.5", "bound = base.out_features**-0.5"),
    "the generator is not used": ("bound, generator=generator)", "bound)"),
    "the scaling is forgotten": ("self.addition(x) * self.scaling", "self.addition(x)"),
    "the scaling counts twice": (
        "self.addition(x) * self.scaling",
        "self.addition(x) * self.scaling**2",
    ),
    "the addition alone": ("return y + self.addition(x)", "return 0 * y + self.addition(x)"),
    "dropout of the base's input": (
        "y: Tensor = self.base(x)",
        "y: Tensor = self.base(self.dropout(x))",
    ),
    "no dropout": ("F.linear(self.dropout(x),", "F.linear(x,"),
    "dropout between the matrices": (
        "F.linear(self.dropout(x), self.a.to(x.dtype))",
        "self.dropout(F.linear(x, self.a.to(x.dtype)))",
    ),
    "b is no parameter": (
        "self.b = nn.Parameter(torch.zeros(base.out_features, rank))",
        "self.b = torch.zeros(base.out_features, rank)",
    ),
    "a does not learn": ("self.a.to(x.dtype))", "self.a.detach().to(x.dtype))"),
    "merged without the scaling": (", alpha=self.scaling", ""),
    "merged with the sign turned": ("alpha=self.scaling", "alpha=-self.scaling"),
    "merged into the base itself": (
        "torch.addmm(weight.float(), self.b,",
        "weight.float().detach().addmm_(self.b,",
    ),
    "merged in the base's dtype": (
        "torch.addmm(weight.float(), self.b, self.a, alpha=self.scaling)",
        "torch.addmm(weight, self.b.to(weight.dtype), self.a.to(weight.dtype), alpha=self.scaling)",
    ),
    "any rank is taken": ("if rank <= 0:", "if False:"),
}
