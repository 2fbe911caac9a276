"""How much memory a tuning takes, before it takes it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from groundup.training.gradient_accumulation import IGNORED
from groundup.training.trainer import LossSum

__all__ = ["MemoryEstimate", "Probe", "available_memory", "estimate_memory", "probe_memory"]

PROBES = (32, 64, 128)  # tokens; a parabola is laid through what they keep
# What is kept and freed in pieces leaves gaps: measured with glibc, a step takes that much more.
GAPS = 1.5
SCORE_BYTES = 16  # of a token's score, its float32 copy, its probability and its gradient


@dataclass(frozen=True)
class Probe:
    """What a step keeps for its way back, as a polynomial in the length of a row."""

    constant: float  # bytes, such as weights that were converted
    each: float  # bytes for each token
    pair: float  # bytes for each pair of tokens of one text: attention's

    def activations(self, context: int, longest: int) -> int:
        """Bytes for a row of ``context`` tokens, in texts of at most ``longest``."""
        return round(self.constant + context * (self.each + self.pair * min(longest, context)))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by what they are for. Weights are there already when the rest is asked for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    scores: int  # over the vocabulary, of the tokens that count

    @property
    def more(self) -> int:
        """What training takes besides the weights."""
        return self.gradients + self.optimizer + self.activations + self.scores


def probe_memory(model: nn.Module, loss: LossSum, bfloat16: bool) -> Probe:
    """Measure what short rows keep: torch tells each tensor that is saved for the way back.

    Args:
        model: as it will be trained; it is not changed.
        loss: of inputs (1, 2, T), as `groundup.tuning.supervised.supervised_loss_sum`.
        bfloat16: as it will be trained.
    """
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    training = model.training
    model.train()
    found = [_saved_bytes(model, loss, bfloat16, tokens, own) for tokens in PROBES]
    model.train(training)
    pair, each, constant = np.polyfit(PROBES, found, 2).clip(0)
    return Probe(float(constant), float(each), float(pair))


def estimate_memory(
    model: nn.Module, probe: Probe, *, context: int, longest: int, counted: int, vocabulary: int
) -> MemoryEstimate:
    """The memory of training with AdamW, one row at a time.

    Args:
        model: as it will be trained.
        probe: of it.
        context: tokens of a row.
        longest: tokens of the longest text.
        counted: the most tokens of one row that count.
        vocabulary: the number of scores of each.
    """
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    weights = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
               for t in (*model.parameters(), *model.buffers())}  # fmt: skip
    return MemoryEstimate(
        weights=sum(weights.values()),
        gradients=trained,
        optimizer=3 * trained,  # two moments, and what a step divides by
        activations=round(GAPS * probe.activations(context, longest)),
        scores=SCORE_BYTES * counted * vocabulary,
    )


def available_memory(device: torch.device) -> int | None:
    """Bytes that can be taken now; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_proc_available(), _container_available()]
    known = [bytes_ for bytes_ in found if bytes_ is not None]
    if not known and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return min(known) if known else None


def _saved_bytes(
    model: nn.Module, loss: LossSum, bfloat16: bool, tokens: int, own: set[int]
) -> int:
    device = next(model.parameters()).device
    inputs = torch.stack((torch.zeros(tokens, dtype=torch.int64), torch.arange(tokens)))[None]
    targets = torch.full((1, tokens), IGNORED)
    targets[0, -1] = 0
    saved: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no two have one address

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss(model, inputs.to(device), targets.to(device), bfloat16)
    return sum(saved.values())


def _proc_available() -> int | None:
    """Linux's own estimate of what can be had without swapping."""
    try:
        lines: Sequence[str] = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _container_available() -> int | None:
    """What a container's limit leaves; pages of files that can be dropped count as left."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text("ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text("ascii"))
        stat = dict(
            line.split() for line in (group / "memory.stat").read_text("ascii").splitlines()
        )
        return int(limit) - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
