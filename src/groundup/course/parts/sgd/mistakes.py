"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

ADD = "            velocity += g\n"
NEXT = "            g = g + self.momentum * velocity if self.nesterov else velocity\n"

MISTAKES: dict[str, tuple[str, str]] = {
    "uphill": ("data -= self.learning_rate * g", "data += self.learning_rate * g"),
    "no learning rate": ("data -= self.learning_rate * g", "data -= g"),
    "the learning rate inside the velocity": (
        f"{ADD}{NEXT}        data -= self.learning_rate * g\n",
        f"            velocity += self.learning_rate * g\n            g = self.learning_rate * g\n"
        f"{NEXT}        data -= g if self.momentum else self.learning_rate * g\n",
    ),
    "a running mean instead of a sum": ("velocity += g", "velocity += (1 - self.momentum) * g"),
    "the velocity never fades": ("velocity *= self.momentum\n", "pass\n"),
    "the velocity fades after the gradient": (
        "            velocity *= self.momentum\n            velocity += g\n",
        "            velocity += g\n            velocity *= self.momentum\n",
    ),
    "the velocity is not kept": (
        "velocity *= self.momentum\n",
        "velocity = velocity * self.momentum\n",
    ),
    "the gradient is added to itself": (
        "g = gradient + self.weight_decay * data if self.weight_decay else gradient",
        "g = gradient\n        g += self.weight_decay * data",
    ),
    "Nesterov's without the gradient": (
        "g + self.momentum * velocity if",
        "self.momentum * velocity if",
    ),
    "Nesterov's without momentum's factor": ("g + self.momentum * velocity if", "g + velocity if"),
    "Nesterov's always": (
        "g + self.momentum * velocity if self.nesterov else velocity",
        "g + self.momentum * velocity",
    ),
    "Nesterov's never": ("g + self.momentum * velocity if self.nesterov else velocity", "velocity"),
    "no weight decay": (
        "gradient + self.weight_decay * data if self.weight_decay else gradient",
        "gradient",
    ),
    "weight decay pulls away": (
        "gradient + self.weight_decay * data",
        "gradient - self.weight_decay * data",
    ),
    "weight decay apart from the gradient": (
        "g = gradient + self.weight_decay * data if self.weight_decay else gradient",
        "g = gradient\n        data *= 1 - self.learning_rate * self.weight_decay",
    ),
    "the decay of the absolute value": (
        "self.weight_decay * data if",
        "self.weight_decay * abs(data) if",
    ),
    "a new array for the parameter": (
        "data -= self.learning_rate * g",
        "data = data - self.learning_rate * g",
    ),
    "a momentum of 1 is taken": ("not 0 <= momentum < 1", "not 0 <= momentum <= 1"),
    "a negative momentum is taken": ("not 0 <= momentum < 1", "not momentum < 1"),
    "a negative decay is taken": (" or not weight_decay >= 0", ""),
    "a decay of NaN is taken": ("not weight_decay >= 0", "weight_decay < 0"),
    "Nesterov's without momentum is taken": ("if nesterov and not momentum:", "if False:"),
}
