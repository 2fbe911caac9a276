"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SHIFTED = "logits.data - logits.data.max(axis=1, keepdims=True)"
LOSS = "(np.log(sums) - shifted[rows, labels]).mean()"

MISTAKES: dict[str, tuple[str, str]] = {
    "large logits overflow": (SHIFTED, "logits.data"),
    "one maximum for all examples": (SHIFTED, "logits.data - logits.data.max()"),
    "the mean subtracted instead": (
        SHIFTED,
        "logits.data - logits.data.mean(axis=1, keepdims=True)",
    ),
    "the logarithm of a rounded zero": (LOSS, "-np.log(exponentials[rows, labels] / sums).mean()"),
    "a small number against log 0": (
        LOSS,
        "-np.log(exponentials[rows, labels] / sums + 1e-8).mean()",
    ),
    "the sum over examples": (LOSS, LOSS.replace(".mean()", ".sum()")),
    "the sign": (LOSS, "(shifted[rows, labels] - np.log(sums)).mean()"),
    "bits instead of nats": (LOSS, LOSS.replace(".mean()", ".mean() / np.log(2)")),
    "all labels of all rows": ("shifted[rows, labels]", "shifted[:, labels]"),
    "no logarithm of the sum": ("np.log(sums) - ", "sums - "),
    "the gradient is softmax alone": ("difference[rows, labels] -= 1", "pass"),
    "the gradient's sign": ("difference *= g / N", "difference *= -g / N"),
    "the gradient of the sum": ("difference *= g / N", "difference *= g"),
    "what comes from behind is forgotten": ("difference *= g / N", "difference /= N"),
    "divided by the classes": ("difference *= g / N", "difference *= g / C"),
    "the gradient is not normalised": ("exponentials / sums[:, None]", "exponentials.copy()"),
    "normalised over the examples": (
        "exponentials / sums[:, None]",
        "exponentials / exponentials.sum(axis=0)",
    ),
    "what was kept is changed in place": (
        "difference = exponentials / sums[:, None]",
        "difference = exponentials\n        difference /= sums[:, None]",
    ),
    "float64 out": ("shifted = logits.data", "shifted = logits.data.astype(float)"),
    "negative labels count from the end": ("labels.min() < 0 or ", ""),
    "labels are rounded": ('labels.dtype.kind not in "iu"', "False"),
    "labels of other shapes broadcast": ("labels.shape != logits.shape[:1]", "False"),
}
