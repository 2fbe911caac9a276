"""The processes of one training: one alone, or several with DDP or FSDP2 under ``torchrun``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.training.blocks import blocks_of

__all__ = ["World", "join_world"]

KINDS = ("ddp", "fsdp")
LONGEST_SILENCE = timedelta(minutes=10)  # a process that waits longer for the others gives up


@dataclass(frozen=True)
class World:
    """Which of how many processes this is, and how they share the work.

    ``ddp``: each holds the whole model, and gradients are averaged. ``fsdp``: each holds a part of
    every parameter, its gradient and its moments, and gathers a block's when it is computed.
    """

    rank: int = 0
    size: int = 1
    kind: str = "ddp"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def share(self, model: nn.Module) -> nn.Module:
        """The model to call; its parameters are the ones to optimise."""
        if self.size == 1:
            return model
        if self.kind == "ddp":
            on = [self.device.index] if self.device.type == "cuda" else None
            return nn.parallel.DistributedDataParallel(model, device_ids=on)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in blocks_of(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model

    def exchange(self, model: nn.Module, on: bool) -> None:
        """Whether the next backward passes bring the processes' gradients together."""
        if self.size == 1:
            return
        if self.kind == "ddp":
            model.require_backward_grad_sync = on  # type: ignore[assignment]
        else:
            model.set_requires_gradient_sync(on)  # type: ignore[operator]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in all of them."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    @contextmanager
    def first_alone(self) -> Iterator[bool]:
        """True in process 0, whose work is done before the others get past the end.

        An error in process 0 ends all of them, each with an error of its own.
        """
        failed = torch.ones(1, device=self.device)
        try:
            yield self.rank == 0
            failed.zero_()
        finally:
            self.sum(failed)
        if failed.item():
            raise GroundupError("another process of this training failed: see its message")


def join_world(kind: str = "ddp") -> World:
    """The world that ``torchrun`` made, or that of one process.

    Raises:
        GroundupError: ``kind`` is not one of ddp and fsdp.
    """
    if kind not in KINDS:
        raise GroundupError(f"--parallel is {kind!r}: expected {' or '.join(KINDS)}")
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        return World(kind=kind, device=torch.device("cuda" if cuda else "cpu"))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=LONGEST_SILENCE)
    return World(dist.get_rank(), dist.get_world_size(), kind, device)
