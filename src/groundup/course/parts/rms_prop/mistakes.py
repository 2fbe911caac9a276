"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

STEP = "data -= self.learning_rate * gradient / (np.sqrt(square) + self.eps)"

MISTAKES: dict[str, tuple[str, str]] = {
    "eps within the root": (
        STEP,
        "data -= self.learning_rate * gradient / np.sqrt(square + self.eps)",
    ),
    "no root": (STEP, "data -= self.learning_rate * gradient / (square + self.eps)"),
    "the first steps are corrected, as Adam's are": (
        STEP,
        "data -= self.learning_rate * gradient / (np.sqrt(square / (1 - self.decay**self.steps))"
        " + self.eps)",
    ),
    "uphill": (STEP, STEP.replace("-=", "+=")),
    "a new array": (STEP, "data = data - self.learning_rate * gradient / "
                          "(np.sqrt(square) + self.eps)"),
    "the learning rate of the beginning": (
        STEP,
        "self.first = getattr(self, 'first', self.learning_rate)\n"
        "        data -= self.first * gradient / (np.sqrt(square) + self.eps)",
    ),
    "the squares are added up, as Adagrad's are": ("square *= self.decay\n", "pass\n"),
    "the gradient is not squared": ("(1 - self.decay) * gradient * gradient",
                                    "(1 - self.decay) * abs(gradient)"),
    "a sum for a mean": ("(1 - self.decay) * gradient * gradient", "gradient * gradient"),
    "decay and its rest exchanged": ("square *= self.decay\n", "square *= 1 - self.decay\n"),
    "the mean square is not kept": (
        "square *= self.decay\n        square += (1 - self.decay) * gradient * gradient",
        "square = self.decay * square + (1 - self.decay) * gradient * gradient",
    ),
    "the gradient is changed": ("square += (1 - self.decay) * gradient * gradient",
                                "gradient *= 1.0001; square += (1 - self.decay) * gradient**2"),
    "a decay of 1": ("not 0 <= decay < 1", "not 0 <= decay <= 1"),
    "eps is not checked": ("or not eps > 0", ""),
    "the default decay of Adam": ("decay: float = 0.99", "decay: float = 0.999"),
}  # fmt: skip
