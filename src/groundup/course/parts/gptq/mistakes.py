"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "plain rounding": ("w[:, i:stop] -= error[:, None] * upper[i, i:stop]", "pass"),
    "errors are added": ("w[:, i:stop] -= error", "w[:, i:stop] += error"),
    "the error is not divided": ("minimum[:, i])) / upper[i, i]", "minimum[:, i]))"),
    "divided by the square": (
        "minimum[:, i])) / upper[i, i]",
        "minimum[:, i])) / upper[i, i] ** 2",
    ),
    "the columns behind the block are forgotten": (
        "w[:, stop:] -= errors @ upper[start:stop, stop:]",
        "pass",
    ),
    "the columns behind the block get one column's error": (
        "errors @ upper[start:stop, stop:]",
        "errors[:, -1:] @ upper[stop - 1 : stop, stop:]",
    ),
    "from left to right": (
        "hessian.diagonal().argsort(descending=True, stable=True)",
        "torch.arange(K)",
    ),
    "small inputs first": ("descending=True", "descending=False"),
    "the Hessian keeps its order": ("hessian[order][:, order]", "hessian"),
    "levels of other columns": (
        "(x.repeat_interleave(group, 1)[:, order]",
        "(x.repeat_interleave(group, 1)",
    ),
    "numbers stay in the order of rounding": ("q[:, order[i]] = level", "q[:, i] = level"),
    "one grid for the row": (
        "grid(grouped(w, group))",
        "grid(w[:, None].expand(-1, K // group, -1))",
    ),
    "unused weights stretch the levels": (
        "grid(grouped(w, group))",
        "grid(grouped(weight, group))",
    ),
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
    "always its own grid": ("= grid(grouped", '= globals()["grid"](grouped'),
    "a Hessian of another size": ("if hessian.shape != (K, K):", "if False:"),
    "no Cholesky, no word": ("if failed or not lower.isfinite().all():", "if False:"),
}
