"""The dynamic 8-bit data type: fine near zero and coarse near one, by powers of ten."""

from functools import cache

import torch
from torch import Tensor

__all__ = ["dynamic_code"]

EXPONENTS = 7  # decades below one


@cache
def dynamic_code() -> Tensor:
    """Its 256 numbers, from -1 to 1, ascending, float32.

    A number has a sign, a run of zeros that says its power of ten, and in the bits that are left a
    fraction of 0.1 to 1: the larger the power, the more bits for it. With e bits, e from 0 to 6,
    the interval from 0.1 to 1 is cut into 2**e equal pieces; the fractions are their middles, and
    the power is ``10 ** (e - 6)``. Each has both signs. Zero and one are added; minus one is not
    there.

    Source: Dettmers 2016, "8-bit approximations for parallelism in deep learning", section 2.2;
    Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", section 2.2.
    """
    numbers = [torch.tensor([0.0, 1.0])]
    for exponent in range(EXPONENTS):
        edges = torch.linspace(0.1, 1, 2 ** (exponent + 1) // 2 + 1, dtype=torch.float32)
        fractions = (edges[:-1] + edges[1:]) / 2
        power = 10.0 ** (exponent - EXPONENTS + 1)
        numbers += [power * fractions, -power * fractions]
    return torch.cat(numbers).sort().values
