"""A learning rate that warms up, stays, and decays at the end."""

import math

__all__ = ["wsd_schedule"]


def wsd_schedule(step: int, *, steps: int, warmup: int, decay: int, peak: float) -> float:
    """The learning rate of a step.

    Three phases: warm-up, where step ``s`` has ``peak * (s + 1) / (warmup + 1)``; a plateau at
    ``peak``; and over the last ``decay`` steps, from step ``steps - decay`` on,

        rate = peak * (1 - sqrt((step - (steps - decay)) / decay))

    which is zero from step ``steps`` on. Before the decay nothing depends on ``steps``: the same
    training can be ended sooner or later by a decay from any checkpoint of the plateau.

    Args:
        step: counted from 0.
        steps: of the whole training, at least ``warmup + decay``.
        warmup: steps before the plateau; 0 begins at the peak.
        decay: steps of the last phase; 0 never decays.
        peak: the learning rate of the plateau, not negative.

    Raises:
        ValueError: a number is negative, or warmup and decay do not fit into steps.

    Source: Hu et al. 2024, "MiniCPM", section 4.2; the root: Hägele et al. 2024, "Scaling laws and
    compute-optimal training beyond fixed training durations", section 4.
    """
    if min(step, warmup, decay, peak) < 0 or warmup + decay > steps:
        raise ValueError(f"step {step}, steps {steps}, warmup {warmup}, decay {decay}, peak {peak}:"
                         " expected none negative, and warmup + decay <= steps")  # fmt: skip
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    into = step - (steps - decay)
    if decay == 0 or into <= 0:
        return peak
    return peak * (1 - math.sqrt(min(1.0, into / decay)))
