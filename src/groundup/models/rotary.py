"""Rotary position embeddings: a position is an angle by which pairs of features are turned."""

import torch
from torch import Tensor

__all__ = ["rotary_frequencies", "rotary_table", "rotate"]


def rotary_frequencies(head_dim: int, base: float = 10000.0) -> Tensor:
    """The angular speed of each pair of features, in radians a position.

    Pair ``i`` turns by ``base ** (-2 * i / head_dim)``: the first pair fastest, by one radian.

    Args:
        head_dim: D, the features of one head; even.
        base: the constant theta of the paper, 10,000 there; larger for longer contexts.

    Returns:
        Shape (D / 2,), float32.

    Raises:
        ValueError: head_dim is odd or not positive, or base is not positive.

    Source: Su et al. 2021, "RoFormer", section 3.2.2, equation 15.
    """
    if head_dim <= 0 or head_dim % 2:
        raise ValueError(f"head_dim must be even and positive to form pairs, got {head_dim}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    return 1.0 / base**exponents


def rotary_table(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every pair's angle at every position.

    Args:
        positions: shape (T,), integers, in any order, not necessarily from 0.
        frequencies: shape (D / 2,), float32, radians a position.

    Returns:
        ``cos, sin``, each of shape (T, D / 2), float32.

    Source: Su et al. 2021, "RoFormer", section 3.4.2, equation 34.
    """
    angles = positions[:, None].float() * frequencies  # (T, D / 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of features by its angle.

    Feature ``i`` of the first half forms a pair with feature ``i`` of the second half, as in
    Llama's published weights:

        first'  = first * cos - second * sin
        second' = second * cos + first * sin

    Args:
        x: queries or keys, shape (B, H, T, D).
        cos, sin: shape (T, D / 2), float32.

    Returns:
        Shape (B, H, T, D), computed in float32 (float64 for float64 ``x``) and returned in the
        dtype of ``x``; ``x`` is not changed, and gradients flow to it.

    Raises:
        ValueError: cos or sin is not of shape (T, D / 2).

    Source: Su et al. 2021, "RoFormer", section 3.4.2, equation 34, with the pairs of GPT-NeoX
    (Black et al. 2022): halves instead of neighbours.
    """
    T, D = x.shape[-2:]
    if cos.shape != (T, D // 2) or sin.shape != cos.shape:
        got = f"cos {tuple(cos.shape)} and sin {tuple(sin.shape)}"
        raise ValueError(f"x {tuple(x.shape)} needs cos and sin of shape {(T, D // 2)}, got {got}")
    first, second = x.chunk(2, dim=-1)
    turned_first = torch.addcmul(first * cos, second, sin, value=-1)
    turned_second = torch.addcmul(second * cos, first, sin)
    turned = torch.cat((turned_first, turned_second), dim=-1)
    return turned.to(x.dtype)
