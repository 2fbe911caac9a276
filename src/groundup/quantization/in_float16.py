"""Scales as files keep them."""

from torch import Tensor

__all__ = ["in_float16"]


def in_float16(x: Tensor) -> Tensor:
    """The nearest numbers that float16 has, as float32.

    Raises:
        ValueError: there is none: it ends at 65,504.
    """
    nearest = x.half().float()
    if not nearest.isfinite().all():
        raise ValueError(
            f"a group's scale or minimum of magnitude {x.abs().max().item():.6g} does not fit in "
            "float16, which ends at 65,504: look for the layer that made such weights, or choose "
            "a method without float16 scales (nf4)"
        )
    return nearest
