"""The gated feed-forward layer of Llama."""

import torch
from torch import Tensor, nn

from groundup.models.linear import Linear

__all__ = ["SwiGLU"]


class SwiGLU(nn.Module):
    """A feed-forward layer whose hidden features are gated by a SiLU.

        y = down_proj(silu(gate_proj(x)) * up_proj(x)),    silu(z) = z * sigmoid(z)

    None of the three projections has a bias.

    Source: Shazeer 2020, "GLU variants improve transformer", equation 6.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        """Make the layer.

        Args:
            dim: features of the input and of the output, C, positive.
            hidden_dim: features in between, F, positive.

        The projections are three ``Linear`` layers without bias, named ``gate_proj`` (C to F),
        ``up_proj`` (C to F) and ``down_proj`` (F to C): the names under which models are stored.
        Each keeps the random weight that it is made with.

        Raises:
            ValueError: dim or hidden_dim is not positive.
        """
        super().__init__()
        if dim <= 0 or hidden_dim <= 0:
            raise ValueError(f"dim and hidden_dim must be positive, got {dim} and {hidden_dim}")
        self.gate_proj = Linear(dim, hidden_dim, bias=False)
        self.up_proj = Linear(dim, hidden_dim, bias=False)
        self.down_proj = Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis.

        Args:
            x: shape (..., C), not changed. Its dtype may be wider than that of the projections,
                which ``Linear`` allows: models run with float32 ``x`` and bfloat16 weights.

        Returns:
            Shape (..., C), in the dtype of ``x``; gradients flow to it and to the projections.
            A gate far below or above zero gives a finite value, never NaN.
        """
        gate = self.gate_proj(x)
        down: Tensor = self.down_proj(gate * torch.sigmoid(gate) * self.up_proj(x))
        return down
