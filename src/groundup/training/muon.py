"""Muon: momentum for matrices, made orthogonal before it is applied."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundup.training.sharded import part_like, whole

__all__ = ["Muon", "orthogonalize"]

# An odd polynomial, s -> a s + b s^3 + c s^5, whose slope at 0 is steep: five applications take
# every singular value above 0.01 into the range from 0.68 to 1.13.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor, iterations: int = 5, eps: float = 1e-7) -> Tensor:
    """Bring the singular values of each matrix near 1; its singular vectors stay.

    A matrix is divided by its Frobenius norm plus ``eps``, so that no singular value is above 1.
    Then the polynomial ``a s + b s^3 + c s^5`` with (a, b, c) = (3.4445, -4.7750, 2.0315) is
    applied to all singular values at once, ``iterations`` times, by products alone: for X = U S V^T

        a X + (b A + c A A) X = U (a S + b S^3 + c S^5) V^T,    A = X X^T

    Args:
        matrices: shape (..., rows, columns), at least two axes; each matrix on its own.
        iterations: not negative.
        eps: keeps a matrix of zeros from being divided by zero.

    Returns:
        Shape and dtype of ``matrices``, which are not changed. With the smaller side as rows A is
        small: taller matrices are turned before and back afterwards.

    Raises:
        ValueError: there are fewer than two axes, or iterations is negative.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    if matrices.ndim < 2 or iterations < 0:
        raise ValueError(f"expected matrices and iterations from 0, got shape "
                         f"{tuple(matrices.shape)} and {iterations}")  # fmt: skip
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + eps)
    x = x.flatten(0, -3) if x.ndim > 2 else x[None]  # (N, rows, columns)
    for _ in range(iterations):
        gram = x @ x.mT
        # Products and sums in one operation: a third less time for small matrices.
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape)


class Muon:
    """Momentum, made orthogonal: every direction of a matrix learns at the same rate.

        m = momentum * m + g
        u = orthogonalize(g + momentum * m)        scale = max(1, rows / columns) ** 0.5
        w = w * (1 - learning_rate * weight_decay) - learning_rate * scale * u

    For the matrices of hidden layers only; embeddings, the output layer, biases and norms go to
    `AdamW`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the
    weight decay is from Liu et al. 2025, "Muon is scalable for LLM training", section 2.2.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        learning_rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start with a momentum of zero; ``learning_rate`` may be changed before any step.

        Args:
            parameters: matrices, of two axes.
            learning_rate: the size of each direction of an update; 0.02 is usual.
            momentum: from 0 to below 1.
            weight_decay: as in AdamW.
            dtype: to orthogonalise in; None is the parameters' own. bfloat16 is precise enough.

        Raises:
            ValueError: a parameter is not a matrix.
        """
        self.parameters: list[Tensor] = list(parameters)
        for parameter in self.parameters:
            if parameter.ndim != 2:
                raise ValueError(f"Muon is for matrices, got shape {tuple(parameter.shape)}")
        self.learning_rate = learning_rate
        self.momentum, self.weight_decay, self.dtype = momentum, weight_decay, dtype
        self.momenta = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move every matrix against its orthogonal momentum.

        Raises:
            ValueError: a parameter has no gradient.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if len(gradients) < len(self.parameters):
            raise ValueError("a parameter has no gradient: give the optimiser those that are used")
        torch._foreach_mul_(self.momenta, self.momentum)
        torch._foreach_add_(self.momenta, gradients)
        ahead = torch._foreach_add(gradients, self.momenta, alpha=self.momentum)
        if self.weight_decay:
            torch._foreach_mul_(self.parameters, 1 - self.learning_rate * self.weight_decay)
        # Matrices of one shape are orthogonalised together: few large products, not many small.
        shapes: dict[torch.Size, list[int]] = {}
        for i, parameter in enumerate(self.parameters):
            shapes.setdefault(parameter.shape, []).append(i)
        for (rows, columns), members in shapes.items():
            stacked = torch.stack([whole(ahead[i]) for i in members])
            updates = orthogonalize(stacked.to(self.dtype or stacked.dtype)).to(stacked.dtype)
            size = self.learning_rate * max(1.0, rows / columns) ** 0.5
            for i, update in zip(members, updates, strict=True):
                self.parameters[i].sub_(part_like(update, self.parameters[i]), alpha=size)

    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint keeps, by name; to restore, copy into them."""
        return {f"momentum.{i}": m for i, m in enumerate(self.momenta)}
