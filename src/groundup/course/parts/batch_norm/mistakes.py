"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

DX = "dx - (dbias / n).reshape(shape) - normal * (dweight / n).reshape(shape)"
RUNNING_MEAN = "self.running_mean += self.momentum * (mean - self.running_mean)"

MISTAKES: dict[str, tuple[str, str]] = {
    "each example on its own": (
        "axes = (0, *range(2, x.ndim))",
        "axes = tuple(range(2, x.ndim)) or (0,)",
    ),
    "each position on its own": ("axes = (0, *range(2, x.ndim))", "axes = (0,)"),
    "the variance divides by n - 1": ("x.data.var(axis=axes)", "x.data.var(axis=axes, ddof=1)"),
    "no eps": ("np.sqrt(variance + self.eps)", "np.sqrt(variance)"),
    "eps added to the root": (
        "1 / np.sqrt(variance + self.eps)",
        "1 / (np.sqrt(variance) + self.eps)",
    ),
    "no root": ("1 / np.sqrt(variance + self.eps)", "1 / (variance + self.eps)"),
    "no weight": ("y = normal * weight.data.reshape(shape) +", "y = normal +"),
    "no bias": (" + bias.data.reshape(shape)", ""),
    "mean and variance are constants": ("if training:  #", "if False:  #"),
    "never constants": ("if training:  #", "if True:  #"),
    "differentiated as the layer is now": ("if training:  #", "if self.training:  #"),
    "the mean is a constant": (DX, "dx - normal * (dweight / n).reshape(shape)"),
    "the variance is a constant": (DX, "dx - (dbias / n).reshape(shape)"),
    "n is the number of examples": ("n = x.data.size // x.shape[1]", "n = len(x)"),
    "the gradient without the weight": (
        "(weight.data * inverse).reshape(shape)",
        "inverse.reshape(shape)",
    ),
    "the gradient without the inverse": (
        "(weight.data * inverse).reshape(shape)",
        "weight.data.reshape(shape)",
    ),
    "the weight's gradient of the input": (
        "(g * normal).sum(axis=axes)",
        "(g * x.data).sum(axis=axes)",
    ),
    "the running variance divides by n": (
        "variance * (n / (n - 1)) - self.running_variance",
        "variance - self.running_variance",
    ),
    "the momentum of the old value": (
        RUNNING_MEAN,
        "self.running_mean += (1 - self.momentum) * (mean - self.running_mean)",
    ),
    "the running mean is a sum": (RUNNING_MEAN, "self.running_mean += self.momentum * mean"),
    "the running mean is not kept": (RUNNING_MEAN, "pass"),
    "the running values move after training, too": (
        "            mean, variance = self.running_mean, self.running_variance\n",
        "            mean, variance = self.running_mean.copy(), self.running_variance\n"
        "            self.running_mean += self.momentum * (x.data.mean(axis=axes) - mean)\n",
    ),
    "the batch's values after training": (
        "mean, variance = self.running_mean, self.running_variance\n",
        "mean, variance = x.data.mean(axis=axes), x.data.var(axis=axes)\n",
    ),
    "the running variance starts at zeros": (
        "self.running_variance: Array = np.ones",
        "self.running_variance: Array = np.zeros",
    ),
    "the running mean is trained": (
        "self.running_mean: Array = np.zeros(channels, np.float32)",
        "self.running_mean = Tensor(np.zeros(channels, np.float32), requires_grad=True)",
    ),
    "other channels broadcast": (
        "x.ndim < 2 or x.shape[1] != len(self.running_mean)",
        "x.ndim < 2",
    ),
    "a single value is normalised": ("if n < 2:", "if False:"),
    "a momentum above 1 is taken": ("not 0 <= momentum <= 1", "not 0 <= momentum"),
    "a negative eps is taken": (" or eps < 0", ""),
}
