"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "plain rounding": ("w[:, i:stop] -= error[:, None] * upper[i, i:stop]", "pass"),
    "errors are added": ("w[:, i:stop] -= error", "w[:, i:stop] += error"),
    "the error is not divided": (" + minimum)) / upper[i, i]", " + minimum))"),
    "divided by the square": (" + minimum)) / upper[i, i]", " + minimum)) / upper[i, i] ** 2"),
    "the columns behind the block are forgotten": (
        "w[:, stop:] -= errors @ upper[start:stop, stop:]",
        "pass",
    ),
    "the columns behind the block get one column's error": (
        "errors @ upper[start:stop, stop:]",
        "errors[:, -1:] @ upper[stop - 1 : stop, stop:]",
    ),
    "grids from the weights as they were": (
        "= grid(w[:, i : i + group])",
        "= grid(weight.float()[:, i : i + group])",
    ),
    "one grid for the row": ("if i % group == 0:", "if i == 0:"),
    "a grid from one column": ("grid(w[:, i : i + group])", "grid(w[:, i : i + 1])"),
    "the Hessian's factor, not its inverse's": (
        "torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)",
        "lower.T.contiguous()",
    ),
    "the lower factor, transposed": (
        "torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)",
        "torch.linalg.inv(lower).tril().flip(0, 1).triu()",
    ),
    "no damping": ("h.diagonal().add_(damping * h.diagonal().mean())", "pass"),
    "the damping is not relative": ("damping * h.diagonal().mean()", "damping"),
    "always the same damping": ("damping * h.diagonal().mean()", "DAMPING * h.diagonal().mean()"),
    "unused weights stay": ("w[:, unused] = 0", "pass"),
    "unused inputs make it singular": ("h.diagonal()[unused] = 1", "pass"),
    "always its own grid": (
        "minima[:, i // group] = grid(w",
        'minima[:, i // group] = globals()["grid"](w',
    ),
    "a Hessian of another size": ("if hessian.shape != (K, K):", "if False:"),
    "no Cholesky, no word": ("if failed or not lower.isfinite().all():", "if False:"),
}
