"""AdamW: adaptive moments, with weight decay apart from the gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundup.training.fused_adamw import adamw_update, has_loop

__all__ = ["AdamW"]


class AdamW:
    """Keeps two running means for each parameter, of its gradient and of the gradient's square.

        m = beta1 * m + (1 - beta1) * g              M = m / (1 - beta1 ** t)
        v = beta2 * v + (1 - beta2) * g ** 2         V = v / (1 - beta2 ** t)
        w = w * (1 - learning_rate * weight_decay) - learning_rate * M / (sqrt(V) + eps)

    Source: Loshchilov and Hutter 2017, "Decoupled weight decay regularization", algorithm 2, with
    the decay multiplied by the learning rate, as in `torch.optim.AdamW`.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Start with moments of zero; ``learning_rate`` may be changed before any step.

        ``weight_decay`` is for matrices; parameters of one axis (biases, norms) are not decayed.
        """
        self.parameters: list[Tensor] = list(parameters)
        self.learning_rate = learning_rate
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.steps = 0
        self.first_moments = [torch.zeros_like(p) for p in self.parameters]
        self.second_moments = [torch.zeros_like(p) for p in self.parameters]
        self._has_loop = has_loop(self.parameters)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient.

        Raises:
            ValueError: a parameter has no gradient.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if len(gradients) < len(self.parameters):
            raise ValueError("a parameter has no gradient: give the optimiser those that are used")
        self.steps += 1
        beta1, beta2 = self.betas
        first, second = self.first_moments, self.second_moments
        # m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps), with the factors gathered in two numbers.
        root = (1 - beta2**self.steps) ** 0.5
        size, eps = self.learning_rate * root / (1 - beta1**self.steps), self.eps * root
        kept = 1 - self.learning_rate * self.weight_decay
        if self._has_loop:
            for p, g, m, v in zip(self.parameters, gradients, first, second, strict=True):
                decay = kept if p.ndim > 1 else 1.0
                adamw_update(p, g, m, v, betas=self.betas, kept=decay, size=size, eps=eps)
            return
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(second)
        torch._foreach_add_(denominators, eps)
        decayed = [p for p in self.parameters if p.ndim > 1]
        if self.weight_decay and decayed:
            torch._foreach_mul_(decayed, kept)
        torch._foreach_addcdiv_(self.parameters, first, denominators, -size)

    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint keeps, by name; to restore, copy into them."""
        moments = {"first_moment": self.first_moments, "second_moment": self.second_moments}
        return {f"{name}.{i}": m for name, found in moments.items() for i, m in enumerate(found)}
