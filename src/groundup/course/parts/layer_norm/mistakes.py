"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

CENTRED = "x.data - x.data.mean(axis=-1, keepdims=True)"
SQUARE = "(centred * centred).mean(axis=-1, keepdims=True)"
DX = "inverse * (scaled - scaled.mean(axis=-1, keepdims=True) - normal * along)"

MISTAKES: dict[str, tuple[str, str]] = {
    "the mean stays, as in RMSNorm": (CENTRED, "x.data"),
    "the mean over the rows": (CENTRED, "x.data - x.data.mean(axis=0, keepdims=True)"),
    "one mean for all": (CENTRED, "x.data - x.data.mean()"),
    "one variance for all": (SQUARE, "(centred * centred).mean()"),
    "the variance divides by C - 1": (SQUARE, "centred.var(axis=-1, ddof=1, keepdims=True)"),
    "the mean square minus the squared mean": (
        SQUARE,
        "((x.data * x.data).mean(axis=-1, keepdims=True)"
        " - x.data.mean(axis=-1, keepdims=True) ** 2).clip(0)",
    ),
    "no root": ("1 / np.sqrt(", "1 / (1 * "),
    "no eps": (f"{SQUARE} + eps)", f"{SQUARE} + 0)"),
    "eps added to the root": (
        f"1 / np.sqrt({SQUARE} + eps)",
        f"1 / (np.sqrt({SQUARE}) + eps)",
    ),
    "the eps of other frameworks": (
        "bias: Tensor, eps: float = 1e-5",
        "bias: Tensor, eps: float = 1e-3",
    ),
    "no weight": ("normal * weight.data + bias.data", "normal + bias.data"),
    "no bias": ("normal * weight.data + bias.data", "normal * weight.data"),
    "1 + weight, as in Gemma": ("normal * weight.data +", "normal * (1 + weight.data) +"),
    "mean and variance are constants": (DX, "inverse * scaled"),
    "the mean is a constant": (DX, "inverse * (scaled - normal * along)"),
    "the variance is a constant": (DX, "inverse * (scaled - scaled.mean(axis=-1, keepdims=True))"),
    "the gradient without the weight": ("scaled = g * weight.data", "scaled = g"),
    "the gradient without the inverse": (DX, DX.removeprefix("inverse * ")),
    "the gradient along: a sum": (
        "along = (scaled * normal).mean(",
        "along = (scaled * normal).sum(",
    ),
    "the gradient along: of the input": (
        "along = (scaled * normal)",
        "along = (scaled * centred)",
    ),
    "the sign along the variance": ("- normal * along)", "+ normal * along)"),
    "the weight's gradient of the input": ("return dx, g * normal, g", "return dx, g * x.data, g"),
    "the weight's gradient is scaled": (
        "return dx, g * normal, g",
        "return dx, scaled * normal, g",
    ),
    "the bias's gradient is scaled": ("return dx, g * normal, g", "return dx, g * normal, scaled"),
    "x is centred in place": (
        CENTRED,
        "x.data\n    centred -= x.data.mean(axis=-1, keepdims=True)",
    ),
    "float64 whatever comes in": (CENTRED, CENTRED.replace("x.data -", "x.data.astype(float) -")),
    "weights of one element broadcast": (
        "not x.shape[-1:] == weight.shape == bias.shape",
        "not x.shape[-1:] == bias.shape",
    ),
    "a bias of one element broadcasts": (
        "not x.shape[-1:] == weight.shape == bias.shape",
        "not x.shape[-1:] == weight.shape",
    ),
    "a negative eps is taken": ("if eps < 0:", "if False:"),
    "the layer forgets its eps": ("self.weight, self.bias, self.eps)", "self.weight, self.bias)"),
    "the layer's weight starts at zeros": ("np.ones(features", "np.zeros(features"),
}
