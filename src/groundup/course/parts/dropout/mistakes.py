"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

KEPT = "kept = rng.random(x.shape, dtype=np.float32) >= p"

CHECK = "if not 0 <= p < 1:\n"
REFUSE = '    raise ValueError(f"p must be from 0 to less than 1, got {p}")\n'

MISTAKES: dict[str, tuple[str, str]] = {
    "not scaled": ("kept.astype(x.dtype) / x.dtype.type(1 - p)", "kept.astype(x.dtype)"),
    "scaled by p": ("x.dtype.type(1 - p)", "x.dtype.type(p)"),
    "multiplied by what is kept": ("kept.astype(x.dtype) / x", "kept.astype(x.dtype) * x"),
    "the missing are kept": (KEPT, KEPT.replace(">=", "<")),
    "p is what is kept": (KEPT, KEPT.replace(">= p", ">= 1 - p")),
    "one draw for each row": (
        KEPT,
        "kept = rng.random((*x.shape[:-1], *(1,) * (x.ndim > 0))) + np.zeros(x.shape) >= p",
    ),
    "one draw for each column": (KEPT, "kept = rng.random(x.shape[-1:]) + np.zeros(x.shape) >= p"),
    "normal instead of uniform draws": (KEPT, "kept = rng.standard_normal(x.shape) >= p"),
    "always the same draws": (KEPT, KEPT.replace("rng.", "np.random.default_rng(0).")),
    "draws of NumPy's global generator": (KEPT, "kept = np.random.random(x.shape) >= p"),
    "exactly a share p": (KEPT, "kept = np.arange(x.data.size).reshape(x.shape) % 100 >= 100 * p"),
    "the gradient passes all": ("lambda g: (g * factor,)", "lambda g: (g,)"),
    "the gradient is not scaled": ("lambda g: (g * factor,)", "lambda g: (g * kept,)"),
    "the gradient draws anew": (
        "lambda g: (g * factor,)",
        "lambda g: (g * (rng.random(x.shape) >= p) / (1 - p),)",
    ),
    "added instead of multiplied": ("record(x.data * factor", "record(x.data + factor - 1"),
    "x is changed": ("    factor: Array", "    x.data[...] *= kept\n    factor: Array"),
    "float64 whatever comes in": ("kept.astype(x.dtype) / x.dtype.type(1 - p)", "kept / (1 - p)"),
    "it drops after training": ("if self.training else x", ""),
    "it drops never": ("dropout(x, self.p, self.rng) if self.training else x", "x"),
    "it scales after training": (
        "if self.training else x",
        "if self.training else x * (1 - self.p)",
    ),
    "each call as the first": (
        "dropout(x, self.p, self.rng)",
        "dropout(x, self.p, np.random.default_rng(4))",
    ),
    "the layer takes a p of 1": (
        f"        {CHECK}        {REFUSE}        self.p",
        "        self.p",
    ),
    "a p of NaN is taken": (
        f"    {CHECK}    {REFUSE}    if p == 0",
        f"    if p < 0 or p >= 1:\n    {REFUSE}    if p == 0",
    ),
}
