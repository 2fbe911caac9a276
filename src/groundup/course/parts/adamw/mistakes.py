"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

DECAY = "data *= 1 - self.learning_rate * self.decoupled_weight_decay"
STEP = "super().update(data, gradient, *running)"

MISTAKES: dict[str, tuple[str, str]] = {
    "L2 regularisation, as in Adam": (
        "self.decoupled_weight_decay, self.weight_decay = self.weight_decay, 0.0",
        "self.decoupled_weight_decay = 0.0",
    ),
    "both kinds of decay": (
        "self.decoupled_weight_decay, self.weight_decay = self.weight_decay, 0.0",
        "self.decoupled_weight_decay = self.weight_decay",
    ),
    "no decay": (DECAY, "pass"),
    "the decay without the learning rate": (DECAY, "data *= 1 - self.decoupled_weight_decay"),
    "the decay grows": (DECAY, DECAY.replace("1 -", "1 +")),
    "the decay after the step": (f"{DECAY}\n        {STEP}", f"{STEP}\n        {DECAY}"),
    "the decay of the sign": (DECAY, DECAY.replace("data *= 1 -", "data -= (data > 0) *")),
    "the decay of the step": (DECAY, "before = data.copy()"),
    "a new array for the parameter": (DECAY, DECAY.replace("data *=", "data = data *")),
    "the decay falls with the steps": (DECAY, f"{DECAY} / self.steps"),
    "the gradient is changed": (
        STEP,
        f"gradient *= 1\n        gradient += 0 * data + 1e-3\n        {STEP}",
    ),
    "no step": (STEP, "pass"),
    "the default decay of Adam": ("weight_decay: float = 0.01,", "weight_decay: float = 0.0,"),
    "betas are forgotten": ("betas=betas, eps=eps", "eps=eps"),
    "eps is forgotten": ("betas=betas, eps=eps", "betas=betas"),
    "a negative decay is taken": ("weight_decay=weight_decay", "weight_decay=abs(weight_decay)"),
}
