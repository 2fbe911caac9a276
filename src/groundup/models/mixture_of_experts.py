"""A feed-forward layer of many experts, of which each token visits a few."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.models.swiglu import SwiGLU

__all__ = ["MixtureOfExperts", "load_balancing_loss", "recorded_routing"]


def load_balancing_loss(router_logits: Tensor, experts_per_token: int) -> Tensor:
    """What is added to the loss so that all experts are used alike.

        E * sum over the experts of f_e * P_e

    where f_e is how many of its choices an average token spends on expert e (they sum to
    ``experts_per_token``) and P_e is the mean over the tokens of the router's probability of e.
    When both are spread evenly it is ``experts_per_token``, its least where f and P agree. The
    choice has no gradient; P_e has, and pushes the probability of crowded experts down.

    Args:
        router_logits: shape (N, E), the router's scores of N tokens; for several layers, one under
            another.
        experts_per_token: k, from 1 to E.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: the shape is not (N, E), or k is not from 1 to E.

    Source: Fedus et al. 2021, "Switch transformers", section 2.2, equations 4 to 6.
    """
    if router_logits.ndim != 2:
        raise ValueError(f"router_logits must be (N, E), got {tuple(router_logits.shape)}")
    N, E = router_logits.shape
    if not 1 <= experts_per_token <= E:
        raise ValueError(f"experts_per_token must be from 1 to {E}, got {experts_per_token}")
    probabilities = torch.softmax(router_logits.float(), dim=-1)  # (N, E)
    chosen = probabilities.topk(experts_per_token).indices  # (N, k)
    visits = torch.bincount(chosen.flatten(), minlength=E) / N  # (E,)
    return E * (visits * probabilities.mean(dim=0)).sum()


class MixtureOfExperts(nn.Module):
    """``sum over the k likeliest experts e of  p_e * expert_e(x)``, with p_e summing to one.

    Source: Shazeer et al. 2017, "Outrageously large neural networks", section 2;
    Jiang et al. 2024, "Mixtral of experts", section 2.1.
    """

    def __init__(self, dim: int, hidden_dim: int, experts: int, experts_per_token: int) -> None:
        """Make the layer.

        Args:
            dim: features of the input and of the output, C, positive.
            hidden_dim: features inside each expert, positive.
            experts: E.
            experts_per_token: k, from 1 to E.

        ``self.gate``, the router, is a ``Linear`` layer without bias from C to E; ``self.experts``
        an ``nn.ModuleList`` of E `SwiGLU` layers.

        Raises:
            ValueError: a size is not positive, or k is not from 1 to E.
        """
        super().__init__()
        if not 1 <= experts_per_token <= experts:
            raise ValueError(f"experts_per_token must be 1 to {experts}, got {experts_per_token}")
        self.experts_per_token = experts_per_token
        self.gate = Linear(dim, experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(dim, hidden_dim) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        """Send each vector of the last axis to its experts.

        The router's softmax over all E scores is float32's; the k largest probabilities are divided
        by their sum. An expert reads only the vectors that chose it.

        Args:
            x: shape (..., C), not changed.

        Returns:
            Shape (..., C), in the dtype of ``x``; gradients flow to it, to the experts that were
            chosen, and through the probabilities to the router.

        Raises:
            ValueError: the last axis of x is not C long.
        """
        if x.shape[-1] != self.gate.in_features:
            raise ValueError(f"x {tuple(x.shape)} must end in {self.gate.in_features} features")
        vectors = x.reshape(-1, x.shape[-1])  # (N, C)
        probabilities = torch.softmax(self.gate(vectors).float(), dim=-1)  # (N, E)
        weights, chosen = probabilities.topk(self.experts_per_token)  # (N, k) each
        weights = (weights / weights.sum(dim=-1, keepdim=True)).to(x.dtype)
        out = torch.zeros_like(vectors)
        for number, expert in enumerate(self.experts):
            rows, places = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                answers = expert(vectors[rows]) * weights[rows, places, None]
                out = out.index_add(0, rows, answers)
        return out.view(x.shape)


@contextmanager
def recorded_routing(model: nn.Module) -> Iterator[list[Tensor]]:
    """The routers' scores of the passes inside the block, for `load_balancing_loss`.

    Args:
        model: any module that holds `MixtureOfExperts` layers.

    Yields:
        A list that takes up, for each pass of each layer in the order of computation, scores of
        shape (N, E), with their gradients.
    """
    recorded: list[Tensor] = []
    handles = [
        layer.gate.register_forward_hook(lambda _, __, scores: recorded.append(scores))
        for layer in model.modules()
        if isinstance(layer, MixtureOfExperts)
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
