"""The fixed positions of the first transformer: sines and cosines of many wavelengths."""

import torch
from torch import Tensor

__all__ = ["sinusoidal_positions"]


def sinusoidal_positions(positions: Tensor, dim: int, *, halves: bool = False) -> Tensor:
    """A vector for each position, which is added to the token's.

    For the pair of features i = 0 ... dim / 2 - 1 and the position p:

        sin(p / 10000 ** (2 * i / dim)),    cos(p / 10000 ** (2 * i / dim))

    Wavelengths grow geometrically from 2 pi to nearly 10,000 * 2 pi. The vector of p + n is a
    rotation of that of p, the same for every p: a linear map can look n tokens away.

    Args:
        positions: shape (T,), integers, in any order, not necessarily from 0.
        dim: C, features; even.
        halves: where the pair stands. False: sine in feature 2 i, cosine in 2 i + 1, as the paper
            prints it. True: sine in i, cosine in dim / 2 + i, as the authors' code and Marian's
            published weights have it.

    Returns:
        Shape (T, dim), float32, computed in float64: at position 100,000 a float32 angle would be
        off by half a percent of a radian.

    Raises:
        ValueError: dim is odd or not positive.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.5.
    """
    if dim <= 0 or dim % 2:
        raise ValueError(f"dim must be even and positive to form pairs, got {dim}")
    exponents = torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim
    angles = positions.double()[:, None] / 10000**exponents  # (T, dim / 2)
    pairs = torch.stack((angles.sin(), angles.cos()), dim=1 if halves else 2)
    return pairs.flatten(1).float()
