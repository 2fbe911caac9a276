"""The layers of a model: what is compiled, sharded and orthogonalised one by one."""

from torch import nn

__all__ = ["blocks_of", "hidden_matrices"]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The members of the model's lists of layers, in order."""
    lists = [child for child in model.children() if isinstance(child, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices between the embeddings and the output layer."""
    return [p for block in blocks_of(model) for p in block.parameters() if p.ndim == 2]
