"""Root-mean-square normalisation."""

import torch
from torch import Tensor, nn

__all__ = ["RMSNorm"]


class RMSNorm(nn.Module):
    """Divide a vector by its root mean square, then scale each feature.

        y = x / sqrt(mean(x ** 2) + eps) * weight

    Unlike layer normalisation it neither subtracts the mean nor adds a bias.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization", equation 4.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        """Make the layer.

        Args:
            dim: the number of features C, positive.
            eps: added to the mean square, so that a vector of zeros stays zeros; not negative.

        ``self.weight``, the layer's only parameter, has shape (dim,) and starts at ones.

        Raises:
            ValueError: dim is not positive, or eps is negative.
        """
        super().__init__()
        if dim <= 0:
            raise ValueError(f"dim must be positive, got {dim}")
        if eps < 0:
            raise ValueError(f"eps must not be negative, got {eps}")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis.

        Args:
            x: shape (..., C), in the dtype of the weight.

        Returns:
            Shape (..., C), in the dtype of ``x``. Everything before the product with the weight
            is computed in float32 (float64 for float64 input), because squares overflow float16
            and lose digits in bfloat16. ``x`` is not changed; gradients flow to it and to the
            weight.

        Raises:
            ValueError: the last axis of x is not C long.
        """
        if x.shape[-1:] != self.weight.shape:
            raise ValueError(f"x {tuple(x.shape)} must end in {self.weight.shape[0]} features")
        wide = x if x.dtype == torch.float64 else x.float()
        inverse = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return (wide * inverse).to(x.dtype) * self.weight
