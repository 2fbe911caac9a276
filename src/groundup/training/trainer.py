"""The training loop: from rows of tokens to a trained model, resumable at any step."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.training.adamw import AdamW
from groundup.training.blocks import blocks_of, hidden_matrices
from groundup.training.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint
from groundup.training.cosine_schedule import cosine_schedule
from groundup.training.gradient_accumulation import IGNORED, accumulate_gradients
from groundup.training.gradient_clipping import clip_gradients
from groundup.training.muon import Muon
from groundup.training.rows import Rows
from groundup.training.run_log import RunLog
from groundup.training.sharded import part_like, whole
from groundup.training.world import World
from groundup.training.wsd_schedule import wsd_schedule

__all__ = ["Interrupted", "LossSum", "Plan", "evaluate", "loss_sum", "train"]

# Of a model, inputs, targets, and whether products are in bfloat16: the sum of all targets' losses.
LossSum = Callable[[nn.Module, Tensor, Tensor, bool], Tensor]


def loss_sum(model: nn.Module, ids: Tensor, targets: Tensor, bfloat16: bool) -> Tensor:
    """The sum of the cross-entropies of all targets that are not `IGNORED`, in nats.

    ``ids`` and ``targets`` (B, T), int64.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bfloat16):
        logits = model(ids)  # (B, T, vocabulary)
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


@dataclass(frozen=True)
class Plan:
    """How a model is trained. Two trainings of one plan and one corpus are the same."""

    steps: int
    batch: int  # rows a step, in all processes together
    micro_batch: int  # rows that one process reads at a time
    learning_rate: float  # AdamW's, at its peak
    matrix_learning_rate: float = 0.0  # Muon's, for hidden matrices; 0: AdamW trains them too
    schedule: str = "cosine"  # or wsd, whose decay takes the last fifth of the steps
    warmup: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    bfloat16: bool = False  # products in bfloat16 (autocast); parameters stay float32
    compile: bool = False
    evaluate_every: int = 250
    evaluation_rows: int = 240
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "micro_batch", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise GroundupError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.schedule not in ("cosine", "wsd"):
            raise GroundupError(f"the schedule is {self.schedule!r}: expected cosine or wsd")
        if not 0 <= self.warmup < self.steps:
            raise GroundupError(f"warmup {self.warmup} is not below {self.steps} steps")

    def rate(self, step: int) -> float:
        """The part of the peak learning rates that a step has."""
        if self.schedule == "cosine":
            return cosine_schedule(step, steps=self.steps, warmup=self.warmup, peak=1, floor=0.1)
        decay = min(self.steps // 5, self.steps - self.warmup)
        return wsd_schedule(step, steps=self.steps, warmup=self.warmup, decay=decay, peak=1)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, answered after a whole step and a checkpoint."""


def train(
    model: nn.Module,
    rows: Rows,
    plan: Plan,
    folder: Path,
    *,
    validation: Rows | None = None,
    world: World | None = None,
    loss: LossSum = loss_sum,
    figures: Callable[[], Mapping[str, float]] = dict,
    report: Callable[[Mapping[str, float]], None] = lambda line: None,
    sample: Callable[[], None] = lambda: None,
) -> None:
    """Train a model in place, from the newest checkpoint in ``folder`` where there is one.

    Parameters that require no gradient stay as they are, and are in no checkpoint.

    Args:
        model: token ids (B, T) to logits (B, T, vocabulary); on the world's device, equal in all
            processes.
        rows: what it learns.
        plan: how.
        folder: holds the checkpoints and the log.
        validation: what it is evaluated on.
        world: the processes; None is this one alone.
        loss: what is made small, and what the model is evaluated by.
        figures: what a step's line of the log says besides, asked for after the step.
        report: is told each line of the log, in process 0.
        sample: is called after each evaluation, in process 0; not where the model is sharded.

    Raises:
        GroundupError: the batch cannot be shared evenly, the checkpoint is of another plan or
            damaged, the loss or a gradient is not a number any more, or the disk is full. The last
            checkpoint is then whole.
        Interrupted: Ctrl-C or SIGTERM; the step was finished, and a checkpoint written.
    """
    world = world or World()
    if plan.batch % (world.size * plan.micro_batch):
        raise GroundupError(
            f"a batch of {plan.batch} rows cannot be shared by {world.size} processes in "
            f"micro-batches of {plan.micro_batch}: make it a multiple of their product"
        )
    run = _Run(model, rows, plan, folder, world, loss)
    with world.first_alone():
        pass  # nobody writes before all have read
    log_file = RunLog(folder, run.step) if world.rank == 0 else nullcontext()
    with log_file as log, _signals() as asked:
        while run.step < plan.steps:
            line = run.advance(stop=bool(asked))
            line |= figures()
            done = run.step == plan.steps
            if validation and (done or run.step % plan.evaluate_every == 0):
                line["validation_loss"] = run.evaluate(validation)
            if log:
                report(log.write(line))
                if "validation_loss" in line and not (world.size > 1 and world.kind == "fsdp"):
                    with _eager(plan.compile):
                        sample()
            if done or run.stopping or run.step % plan.checkpoint_every == 0:
                run.save()
            if run.stopping and not done:
                raise Interrupted


class _Run:
    """The state of a training between two steps."""

    def __init__(
        self,
        model: nn.Module,
        rows: Rows,
        plan: Plan,
        folder: Path,
        world: World,
        loss: LossSum,
    ) -> None:
        self.plan, self.folder, self.world, self.rows = plan, folder, world, rows
        self.loss = loss
        self.step = self.tokens = 0
        self.stopping = False
        self.model = model
        saved = latest_checkpoint(folder / "checkpoints")
        if plan.compile:
            for block in blocks_of(model):
                block.compile()
        self.called = world.share(model)
        # Learned, not merely there: an adapter's base is frozen.
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        matrices = hidden_matrices(model) if plan.matrix_learning_rate else []
        ids = {id(p) for p in matrices}
        others = [p for p in self.parameters.values() if id(p) not in ids]
        adamw = AdamW(others, learning_rate=0.0, weight_decay=plan.weight_decay)
        self.optimizers: dict[str, AdamW | Muon] = {"adamw": adamw}
        if matrices:
            dtype = torch.bfloat16 if plan.bfloat16 else None
            self.optimizers["muon"] = Muon(
                matrices, learning_rate=0.0, weight_decay=plan.weight_decay, dtype=dtype
            )
        if saved:
            self._restore(saved)

    def advance(self, stop: bool) -> dict[str, float]:
        """Take one step; returns its line of the log. ``stop``: this process was asked to."""
        plan, world = self.plan, self.world
        began = time.perf_counter()
        self.called.train()
        torch.manual_seed(plan.seed + self.step * world.size + world.rank)  # dropout's, resumable
        share = plan.batch // world.size
        first = self.step * plan.batch + world.rank * share
        ids, targets = self.rows.take(np.arange(first, first + share))
        ids, targets = ids.to(world.device), targets.to(world.device)
        counted = (targets != IGNORED).sum().double().reshape(1)
        tokens = float(world.sum(counted))
        micro = list(zip(ids.split(plan.micro_batch), targets.split(plan.micro_batch), strict=True))

        world.exchange(self.called, False)
        # Processes' gradients are averaged: what is divided by the mean count is summed right.
        loss = accumulate_gradients(
            self._loss_sum,
            micro,
            tokens=tokens / world.size,
            before_last=lambda: world.exchange(self.called, True),
        )
        total = world.sum(torch.stack((loss.double(), loss.new_tensor(stop).double())))
        loss_value = total[0].item() / world.size
        self.stopping = bool(total[1].item())
        norm = clip_gradients(self.model.parameters(), plan.clip)
        if not (math.isfinite(loss_value) and math.isfinite(norm)):
            self._not_finite(loss_value, norm)
        rate = plan.rate(self.step)
        for name, optimizer in self.optimizers.items():
            peak = plan.learning_rate if name == "adamw" else plan.matrix_learning_rate
            optimizer.learning_rate = peak * rate
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += int(tokens)
        seconds = time.perf_counter() - began
        return {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": seconds,
            "loss": loss_value,
            "learning_rate": plan.learning_rate * rate,
            "gradient_norm": norm,
            "tokens_per_second": tokens / seconds,
        }

    def _loss_sum(self, ids: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.called, ids, targets, self.plan.bfloat16)

    def _not_finite(self, loss: float, norm: float) -> None:
        first = self.step * self.plan.batch
        kept = latest_checkpoint(self.folder / "checkpoints")
        raise GroundupError(
            f"at step {self.step + 1} the loss is {loss} and the norm of the gradients {norm} "
            f"(batch {self.step}, samples {first} to {first + self.plan.batch - 1}): training "
            "stopped before the model was changed; "
            + (f"the last checkpoint, {kept.name}, is good: " if kept else "no checkpoint yet: ")
            + "look at these samples, or begin anew with a lower learning rate"
        )

    def evaluate(self, rows: Rows) -> float:
        """The mean loss over the plan's number of rows."""
        with _eager(self.plan.compile):
            return evaluate(self.called, rows, self.plan, self.world, self.loss)

    def save(self) -> None:
        """Write a checkpoint."""
        states = {
            f"{name}.{key}": whole(tensor)
            for name, optimizer in self.optimizers.items()
            for key, tensor in optimizer.state().items()
        }
        weights = {name: whole(p) for name, p in self.parameters.items()}
        state = {"plan": asdict(self.plan), "tokens": self.tokens}
        with self.world.first_alone() as first:
            if first:
                tensors = {"model": weights, "optimizer": states}
                write_checkpoint(self.folder / "checkpoints", self.step, tensors, state)

    @torch.no_grad()
    def _restore(self, path: Path) -> None:
        tensors, state = read_checkpoint(path)
        wanted = asdict(self.plan)
        other = [name for name in wanted if wanted[name] != state["plan"].get(name)]
        if other:
            was = ", ".join(f"{n} {state['plan'].get(n)} (now {wanted[n]})" for n in other)
            raise GroundupError(f"{self.folder} holds a training of another plan: {was}; go on "
                                "with that one, or name another --out")  # fmt: skip
        pairs: list[tuple[Tensor | None, Tensor]] = [
            (tensors["model"].pop(name, None), p) for name, p in self.parameters.items()
        ]
        for name, optimizer in self.optimizers.items():
            for key, tensor in optimizer.state().items():
                pairs.append((tensors["optimizer"].pop(f"{name}.{key}", None), tensor))
        fits = all(saved is not None and saved.shape == now.shape for saved, now in pairs)
        if not fits or tensors["model"] or tensors["optimizer"]:
            raise GroundupError(f"{path} is of a model of another shape: name another --out")
        for saved, now in pairs:
            assert saved is not None
            now.copy_(part_like(saved.to(now.device), now))
        self.step, self.tokens = state["step"], state["tokens"]
        adamw = self.optimizers["adamw"]
        assert isinstance(adamw, AdamW)
        adamw.steps = self.step


@torch.no_grad()
def evaluate(
    model: nn.Module, rows: Rows, plan: Plan, world: World, loss: LossSum = loss_sum
) -> float:
    """The mean loss, in nats a token, over the first ``plan.evaluation_rows`` rows, or all."""
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=world.device)
    together = plan.micro_batch * world.size
    count = min(plan.evaluation_rows, len(rows))
    # With sharded parameters, all processes must call the model equally often: the last rows of an
    # uneven number are read twice.
    for start in range(0, count, together):
        size = -(-min(together, count - start) // world.size)
        first = start + world.rank * size
        ids, targets = rows.take(np.arange(first, first + size))
        ids, targets = ids.to(world.device), targets.to(world.device)
        total = loss(model, ids, targets, plan.bfloat16)
        sums += torch.stack((total.double(), (targets != IGNORED).sum().double()))
    nats, tokens = world.sum(sums).tolist()
    return float(nats / tokens)


@contextmanager
def _eager(compiled: bool) -> Iterator[None]:
    """Other shapes and modes than training's are not worth a compilation."""
    context: AbstractContextManager[object] = nullcontext()
    if compiled:
        context = torch.compiler.set_stance("force_eager")
    with context:
        yield


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the signals that ask to stop; the second of them stops at once."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are not ours
        before = {}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
