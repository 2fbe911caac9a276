"""What `test_distributed.py` runs in each process: ``distributed_training.py KIND FOLDER``."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.training.rows import StreamRows
from groundup.training.token_shards import TokenShards
from groundup.training.trainer import Plan, train
from groundup.training.world import join_world

PLAN = Plan(
    steps=6,
    batch=8,
    micro_batch=2,
    learning_rate=5e-3,
    matrix_learning_rate=0.02,
    warmup=2,
    evaluate_every=3,
    evaluation_rows=16,
    checkpoint_every=3,
)


def main(kind: str, folder: Path) -> None:
    """Train on the tokens beside the folder, in float64: the order of sums does not show."""
    torch.set_num_threads(1)
    world = join_world(kind)
    torch.manual_seed(0)
    model = GPT2(GPT2Config(32, 16, dim=16, layers=2, heads=2)).double()
    rows = StreamRows(TokenShards(folder.parent / "data"), 16, seed=0)
    train(model, rows, PLAN, folder, validation=rows, world=world)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
