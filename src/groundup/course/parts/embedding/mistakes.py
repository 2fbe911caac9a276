"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SUM = "dweight[named] = np.add.reduceat(g.reshape(ids.size, -1)[order], first)"

MISTAKES: dict[str, tuple[str, str]] = {
    "of several gradients the last one counts": (
        SUM,
        "dweight[ids.ravel()] = g.reshape(ids.size, -1)",
    ),
    "added where NumPy adds once": (SUM, "dweight[ids.ravel()] += g.reshape(ids.size, -1)"),
    "of several gradients the first one counts": (
        SUM,
        "dweight[named] = g.reshape(ids.size, -1)[order][first]",
    ),
    "gradients are not brought into order": (
        SUM,
        "dweight[named] = np.add.reduceat(g.reshape(ids.size, -1), first)",
    ),
    "the mean of the gradients": (
        SUM,
        f"{SUM} / np.bincount(ids.ravel())[named][:, None]",
    ),
    "rows that are not named keep garbage": (
        "dweight = np.zeros_like(weight.data)",
        "dweight = np.ones_like(weight.data)",
    ),
    "the gradient of no ids": ("if ids.size:", "if ids.size > 1:"),
    "negative ids count from the end": ("ids.min() < 0 or ids.max()", "ids.max()"),
    "ids that are too large": ("ids.min() < 0 or ids.max() >= len(weight)", "ids.min() < 0"),
    "the last id is refused": ("ids.max() >= len(weight)", "ids.max() >= len(weight) - 1"),
    "floats are cut": ('if ids.dtype.kind not in "iu":', "if False:"),
    "booleans are ids": ('ids.dtype.kind not in "iu"', 'ids.dtype.kind not in "iub"'),
    "no ids are refused": ("if ids.size and (", "if not ids.size or ("),
    "the table is float64": (".astype(np.float32)", ""),
    "uniform numbers": ("rng.standard_normal((size, features))", "rng.random((size, features))"),
    "the table is not trained": ("requires_grad=True", "requires_grad=False"),
}
