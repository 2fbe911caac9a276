"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "drawn without replacement": (
        "random.integers(len(x), size=(min(rows, resamples - start), len(x)))",
        "np.argsort(random.random((min(rows, resamples - start), len(x))), 1)",
    ),
    "the last item is never drawn": ("random.integers(len(x), ", "random.integers(len(x) - 1, "),
    "half as many are drawn": (
        "resamples - start), len(x)))", "resamples - start), (len(x) + 1) // 2))",
    ),
    "divided by the weights of all items": ("w[drawn].sum(1)", "w.sum()"),
    "divided by the number of items": ("w[drawn].sum(1)", "len(x)"),
    "weights left out of the sum": ("(x * w)[drawn]", "x[drawn]"),
    "always another seed": ("= np.random.default_rng(seed)", "= np.random.default_rng()"),
    "both tails on one side": (
        "[(1 - confidence) / 2, (1 + confidence) / 2]", "[1 - confidence, 1.0]",
    ),
    "each tail twice as large": (
        "[(1 - confidence) / 2, (1 + confidence) / 2]", "[1 - confidence, confidence]",
    ),
    "the interval forgets the weights": (
        "means = bootstrap_means(values, weights,", "means = bootstrap_means(values, None,",
    ),
    "NaN is let through": ("or not np.isfinite(x).all()", ""),
    "weights of 0 are let through": ("& (w > 0)", "& (w >= 0)"),
    "weights that are NaN are let through": (
        "not (np.isfinite(w) & (w > 0)).all()", "(w <= 0).any()",
    ),
    "one weight serves all": ("w.shape != x.shape or", ""),
    "a confidence in percent": ("if not 0 < confidence < 1", "if confidence <= 0"),
}  # fmt: skip
