"""Tensors of which each process holds a part (FSDP2), and their whole."""

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["part_like", "whole"]


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered where it is sharded: then every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(full: Tensor, sharded: Tensor) -> Tensor:
    """This process's part of ``full``, which all have, sharded as ``sharded`` is."""
    if not isinstance(sharded, DTensor):
        return full
    return distribute_tensor(full, sharded.device_mesh, sharded.placements, src_data_rank=None)
