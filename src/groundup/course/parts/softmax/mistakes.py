"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

EXP = "np.exp(x.data - x.data.max(axis=-1, keepdims=True))"
LOG = "shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))"

MISTAKES: dict[str, tuple[str, str]] = {
    "nothing is subtracted": (EXP, "np.exp(x.data)"),
    "the largest of all scores is subtracted": (EXP, "np.exp(x.data - x.data.max())"),
    "the mean is subtracted": (EXP, "np.exp(x.data - x.data.mean(axis=-1, keepdims=True))"),
    "in place": (EXP, "np.exp(x.data - x.data.max(axis=-1, keepdims=True), out=x.data)"),
    "powers of two": (EXP, "np.exp2(x.data - x.data.max(axis=-1, keepdims=True))"),
    "sums over the first axis": ("y /= y.sum(axis=-1, keepdims=True)",
                                 "y /= y.sum(axis=0, keepdims=True)"),
    "sums over everything": ("y /= y.sum(axis=-1, keepdims=True)", "y /= y.sum()"),
    "scores have no effect on one another": (
        "product - y * product.sum(axis=-1, keepdims=True)",
        "product - y * product",
    ),
    "the gradient of an exponential": (
        "product - y * product.sum(axis=-1, keepdims=True)",
        "product",
    ),
    "the sum of g alone": (
        "product - y * product.sum(axis=-1, keepdims=True)",
        "product - y * g.sum(axis=-1, keepdims=True)",
    ),
    "the logarithm of softmax": (
        LOG,
        "np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))",
    ),
    "the logarithm to the base 2": (LOG, LOG.replace("np.log(", "np.log2(")),
    "a mean for the sum": (LOG, LOG.replace(".sum(", ".mean(")),
    "log_softmax subtracts nothing": (
        "shifted: Array = x.data - x.data.max(axis=-1, keepdims=True)",
        "shifted: Array = x.data",
    ),
    "y in the place of its exponential": (
        "g - np.exp(y) * g.sum(axis=-1, keepdims=True)",
        "g - y * g.sum(axis=-1, keepdims=True)",
    ),
    "each g its own sum": (
        "g - np.exp(y) * g.sum(axis=-1, keepdims=True)",
        "g - np.exp(y) * g",
    ),
}  # fmt: skip
