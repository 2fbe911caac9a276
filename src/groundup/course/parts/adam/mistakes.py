"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "uphill": ("data -= step", "data += step"),
    "no correction of the mean": ("(1 - beta1**self.steps)", "1"),
    "no correction of the squares": ("root /= math.sqrt(1 - beta2**self.steps)", "pass"),
    "the squares' correction without a root": (
        "math.sqrt(1 - beta2**self.steps)",
        "(1 - beta2**self.steps)",
    ),
    "corrections counted from 0": (
        "root /= math.sqrt(1 - beta2**self.steps)",
        "root /= math.sqrt(1 - beta2 ** max(1, self.steps - 1))",
    ),
    "the same correction at every step": ("1 - beta1**self.steps", "1 - beta1"),
    "betas exchanged": ("beta1, beta2 = self.betas", "beta2, beta1 = self.betas"),
    "the mean is a sum": ("mean += (1 - beta1) * gradient", "mean += gradient"),
    "the squares are a sum": (
        "square += (1 - beta2) * gradient * gradient",
        "square += gradient * gradient",
    ),
    "the absolute value instead of the square": (
        "square += (1 - beta2) * gradient * gradient",
        "square += (1 - beta2) * abs(gradient)",
    ),
    "the square of the mean": (
        "square += (1 - beta2) * gradient * gradient",
        "square += (1 - beta2) * mean * mean",
    ),
    "no root": ("root = np.sqrt(square)", "root = square.copy()"),
    "eps inside the root": (
        "root = np.sqrt(square)",
        "root = np.sqrt(square + self.eps)",
    ),
    "eps before the correction": (
        "        root /= math.sqrt(1 - beta2**self.steps)\n        root += self.eps\n",
        "        root += self.eps\n        root /= math.sqrt(1 - beta2**self.steps)\n",
    ),
    "no eps": ("root += self.eps", "pass"),
    "the gradient instead of the mean": ("step = mean / root", "step = gradient / root"),
    "the mean is not kept": ("mean *= beta1", "mean = mean * beta1"),
    "the squares are not kept": ("square *= beta2", "square = square * beta2"),
    "weight decay apart from the gradient": (
        "gradient = gradient + self.weight_decay * data",
        "data *= 1 - self.learning_rate * self.weight_decay",
    ),
    "weight decay changes the gradient": (
        "gradient = gradient + self.weight_decay * data",
        "gradient += self.weight_decay * data",
    ),
    "no weight decay": ("if self.weight_decay:", "if False:"),
    "a new array for the parameter": ("data -= step", "data = data - step"),
    "the running values are of another name": ('kept = ("mean", "square")', 'kept = ("m", "v")'),
    "a beta of 1 is taken": ("0 <= beta < 1 for beta in betas", "0 <= beta <= 1 for beta in betas"),
    "only beta1 is looked at": ("for beta in betas)", "for beta in betas[:1])"),
    "an eps of 0 is taken": (" or not eps > 0", ""),
    "a negative decay is taken": (" or not weight_decay >= 0", ""),
}
