"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "not normalised first": (
        "x = x / (torch.linalg.matrix_norm(x, keepdim=True) + eps)",
        "x = x / (1 + eps)",
    ),
    "one norm for all matrices": (
        "torch.linalg.matrix_norm(x, keepdim=True)",
        "torch.linalg.vector_norm(x)",
    ),
    "the largest value for the norm": (
        "torch.linalg.matrix_norm(x, keepdim=True)",
        "x.abs().amax((-2, -1), keepdim=True)",
    ),
    "no eps": ("keepdim=True) + eps)", "keepdim=True))"),
    "the coefficients of Newton and Schulz": (
        "COEFFICIENTS = (3.4445, -4.7750, 2.0315)",
        "COEFFICIENTS = (1.5, -0.5, 0.0)",
    ),
    "a square in place of the fourth power": (
        "gram, gram, gram, beta=b, alpha=c)",
        "gram, gram, 0 * gram, beta=b + c, alpha=c)",
    ),
    "one iteration less": ("for _ in range(iterations):", "for _ in range(iterations - 1):"),
    "the wrong gram matrix": ("gram = x @ x.mT", "gram = 0.9 * x @ x.mT"),
    "tall matrices come back lying": (
        "(x.mT if tall else x).reshape",
        "x.reshape",
    ),
    "without Nesterov's look ahead": (
        "ahead = torch._foreach_add(gradients, self.momenta, alpha=self.momentum)",
        "ahead = [m.clone() for m in self.momenta]",
    ),
    "the momentum is looked ahead twice": ("alpha=self.momentum)", "alpha=self.momentum**2)"),
    "no momentum": ("_foreach_mul_(self.momenta, self.momentum)", "_foreach_zero_(self.momenta)"),
    "the gradient is averaged in": (
        "torch._foreach_add_(self.momenta, gradients)",
        "torch._foreach_add_(self.momenta, gradients, alpha=1 - self.momentum)",
    ),
    "wide matrices are scaled": ("max(1.0, rows / columns)", "max(1.0, columns / rows)"),
    "all are scaled": ("max(1.0, rows / columns) ** 0.5", "(rows / columns) ** 0.5"),
    "scaled without a root": ("max(1.0, rows / columns) ** 0.5", "max(1.0, rows / columns)"),
    "the decay is not multiplied by the rate": (
        "1 - self.learning_rate * self.weight_decay)",
        "1 - self.weight_decay)",
    ),
    "the decay goes into the gradient": (
        "_foreach_mul_(self.parameters, 1 - self.learning_rate * self.weight_decay)",
        "_foreach_add_(ahead, self.parameters, alpha=self.weight_decay)",
    ),
    "no decay": ("if self.weight_decay:", "if False:"),
    "uphill": ("alpha=size)", "alpha=-size)"),
    "the gradients are used up": (
        "ahead = torch._foreach_add(gradients, self.momenta, alpha=self.momentum)",
        "ahead = gradients\n        torch._foreach_add_(ahead, self.momenta, alpha=self.momentum)",
    ),
    "the dtype is not used": ("stacked.to(self.dtype or stacked.dtype)", "stacked"),
    "the state is a copy": ("m for i, m in enumerate", "m.clone() for i, m in enumerate"),
    "vectors are taken": ("if parameter.ndim != 2:", "if parameter.ndim > 2:"),
    "missing gradients are passed over": (
        'raise ValueError("a parameter has no gradient: give the optimiser those that are used")',
        "return",
    ),
}  # fmt: skip
