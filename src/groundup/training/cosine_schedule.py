"""A learning rate that rises in a line and falls along a cosine."""

import math

__all__ = ["cosine_schedule"]


def cosine_schedule(
    step: int, *, steps: int, warmup: int, peak: float, floor: float = 0.0
) -> float:
    """The learning rate of a step.

    Warm-up: step ``s`` of the first ``warmup`` has ``peak * (s + 1) / (warmup + 1)``, so that the
    first step already learns, and the peak is reached by the step after the warm-up:

        progress = (step - warmup) / (steps - warmup)
        rate = floor + (peak - floor) * (1 + cos(pi * progress)) / 2

    The last step, ``steps - 1``, is just above the floor; any step from ``steps`` on is at it.

    Args:
        step: counted from 0.
        steps: of the whole training, more than ``warmup``.
        warmup: steps before the peak; 0 begins at the peak.
        peak, floor: learning rates, 0 <= floor <= peak.

    Raises:
        ValueError: step or warmup is negative, steps is not more than warmup, or the rates are out
            of order.

    Source: Loshchilov and Hutter 2016, "SGDR", section 3, equation 5, without restarts; Brown et
    al. 2020, "Language models are few-shot learners", appendix B, for the warm-up and the floor.
    """
    if step < 0 or not 0 <= warmup < steps:
        raise ValueError(f"step {step}, warmup {warmup}, steps {steps}: expected step from 0, and "
                         "warmup from 0 to steps - 1")  # fmt: skip
    if not 0 <= floor <= peak:
        raise ValueError(f"floor {floor} and peak {peak}: expected 0 <= floor <= peak")
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / (steps - warmup))
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
