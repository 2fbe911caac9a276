"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the weight is not transposed": ("rows @ weight.data.T", "rows @ weight.data"),
    "no bias": ("        y += bias.data\n", "        pass\n"),
    "the bias is subtracted": ("y += bias.data", "y -= bias.data"),
    "dx by the transposed weight": ("g @ weight.data)", "g @ weight.data.T)"),
    "dx is not given its leading axes": (".reshape(x.shape) if x", " if x"),
    "dweight transposed": ("g.T @ rows", "rows.T @ g"),
    "dweight is a mean": ("g.T @ rows", "g.T @ rows / len(rows)"),
    "dweight of one row": ("g.T @ rows", "g[:1].T @ rows[:1]"),
    "dbias is a mean": ("g.sum(axis=0)", "g.mean(axis=0)"),
    "dbias sums the outputs": ("g.sum(axis=0)", "g.sum(axis=1)"),
    "no dbias": ("g.sum(axis=0) if bias.requires_grad else None", "None"),
    "no dx": ("(g @ weight.data).reshape(x.shape) if x.requires_grad else None", "None"),
    "dx is always computed": (
        "(g @ weight.data).reshape(x.shape) if x.requires_grad else None",
        "(g @ weight.data).reshape(x.shape)",
    ),
    "float64 whatever comes in": ("y: Array = rows @", "y: Array = rows.astype(float) @"),
    "x shifted in place": ("    y: Array = ", "    rows -= rows.mean()\n    y: Array = "),
    "leading axes lost": ("y.reshape(*x.shape[:-1], outputs)", "y"),
    "weights of variance 1 / inputs": (
        "kaiming_normal((outputs, inputs), rng)",
        "kaiming_normal((outputs, inputs), rng, gain=1.0)",
    ),
    "the shape of the weight": (
        "kaiming_normal((outputs, inputs), rng)",
        "kaiming_normal((inputs, outputs), rng)",
    ),
    "weights of zeros": (
        "kaiming_normal((outputs, inputs), rng)",
        "0 * kaiming_normal((outputs, inputs), rng)",
    ),
    "a generator of its own": (
        "kaiming_normal((outputs, inputs), rng)",
        "kaiming_normal((outputs, inputs), np.random.default_rng(7))",
    ),
    "a bias of ones": ("np.zeros(outputs", "np.ones(outputs"),
    "the bias is not trained": (
        "np.zeros(outputs, np.float32), requires_grad=True)",
        "np.zeros(outputs, np.float32))",
    ),
    "the layer forgets its bias": ("linear(x, self.weight, self.bias)", "linear(x, self.weight)"),
    "a bias of one number is broadcast": ("bias.shape != (outputs,)", "False"),
}
