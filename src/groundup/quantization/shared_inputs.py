"""Which matrices of a Llama block read the same values, and what makes these values."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.llama import Block
from groundup.models.swiglu import SwiGLU

__all__ = ["SharedInput", "linear", "move_scale", "shared_inputs"]


@dataclass(frozen=True)
class SharedInput:
    """Names of a block's linear layers that read the same values, and of the layer before them.

    The source is one whose outputs can be divided, column by column, by changing its weights. It is
    None where there is none.
    """

    readers: tuple[str, ...]
    source: str | None


def shared_inputs(block: Block) -> list[SharedInput]:
    """Every linear layer of a block, in the order in which the block reads them.

    Raises:
        GroundupError: the feed-forward layer has experts.
    """
    if not isinstance(block.mlp, SwiGLU):
        raise GroundupError("models with experts are not quantised: choose one without")
    attention = block.self_attn
    # Several query heads read one head of values: the columns of the output's input are copies.
    alone = attention.v_proj.out_features == attention.o_proj.in_features
    names = ("q_proj", "k_proj", "v_proj")
    return [
        SharedInput(tuple(f"self_attn.{name}" for name in names), "input_layernorm"),
        SharedInput(("self_attn.o_proj",), "self_attn.v_proj" if alone else None),
        SharedInput(("mlp.gate_proj", "mlp.up_proj"), "post_attention_layernorm"),
        SharedInput(("mlp.down_proj",), "mlp.up_proj"),
    ]


@torch.no_grad()
def move_scale(block: nn.Module, shared: SharedInput, scale: Tensor) -> None:
    """Divide the values by ``scale`` (K,), where they are made, and multiply what reads them.

    The block computes what it did.
    """
    assert shared.source is not None
    source = block.get_submodule(shared.source)
    for parameter in source.parameters(recurse=False):  # a norm's weight; a matrix's rows, a bias
        parameter.div_(scale.view(-1, *[1] * (parameter.ndim - 1)))
    for name in shared.readers:
        linear(block, name).weight.mul_(scale)


def linear(module: nn.Module, name: str) -> nn.Linear:
    """The linear layer of this name inside a module."""
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer
