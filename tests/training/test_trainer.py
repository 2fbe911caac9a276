"""The loop: what it learns, what it survives."""

import dataclasses
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.gpt2 import GPT2
from groundup.training.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.muon import Muon
from groundup.training.rows import StreamRows
from groundup.training.run_log import read_log
from groundup.training.trainer import Interrupted, Plan, loss_sum, train
from groundup.training.world import World

PLAN = Plan(
    steps=12,
    batch=8,
    micro_batch=4,
    learning_rate=5e-3,
    matrix_learning_rate=0.02,
    warmup=2,
    evaluate_every=5,
    evaluation_rows=16,
    checkpoint_every=4,
)
Make = Callable[..., GPT2]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder)]


def test_it_learns_logs_and_keeps_two_checkpoints(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    trained = model()
    told: list[Mapping[str, float]] = []
    samples: list[int] = []
    written: list[tuple[int, int]] = []

    def report(line: Mapping[str, float]) -> None:
        told.append(line)
        table = (tmp_path / "log.csv").read_text().splitlines()
        written.append((len(read_log(tmp_path)), len(table) - 1))

    train(trained, rows, PLAN, tmp_path, validation=rows, report=report,
          sample=lambda: samples.append(1))  # fmt: skip
    log = read_log(tmp_path)
    assert log == told
    assert written == [(step, step) for step in range(1, 13)]  # at once, whatever comes
    assert [line["step"] for line in log] == list(range(1, 13))
    assert log[-1]["tokens"] == 12 * 8 * 16
    assert log[-1]["loss"] < log[0]["loss"] - 0.25
    assert [line["step"] for line in log if "validation_loss" in line] == [5, 10, 12]
    assert len(samples) == 3
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000012"]
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    assert header.startswith("step,tokens,seconds,loss,validation_loss")
    assert len(lines) == 12


class MaskedRows(StreamRows):
    """Some targets do not count, not equally many in each row."""

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        ids, targets = super().take(samples)
        return ids, targets.masked_fill(ids % 3 == 0, IGNORED)


def mean_loss(model: nn.Module, rows: StreamRows, samples: range) -> Tensor:
    ids, targets = rows.take(np.array(samples))
    return F.cross_entropy(model(ids).flatten(0, 1).float(), targets.flatten())


@pytest.mark.parametrize("micro_batch", [8, 2])
def test_it_is_the_plain_loop(
    micro_batch: int, rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    """Weight decay and the limit on the norm are felt; one matrix is frozen."""
    plan = dataclasses.replace(
        PLAN, steps=5, micro_batch=micro_batch, weight_decay=0.5, clip=0.05, evaluation_rows=13,
        checkpoint_every=3,
    )  # fmt: skip
    masked = MaskedRows(rows.tokens, 16, seed=0)
    trained, plain = model().double(), model().double()
    for each in (trained, plain):
        each.wpe.requires_grad_(False)
    train(trained, masked, plan, tmp_path, validation=masked)
    hidden = [p for name, p in plain.named_parameters() if name.startswith("h.") and p.ndim == 2]
    vectors = [p for p in plain.parameters() if p.ndim == 1]
    adamw = torch.optim.AdamW([plain.wte.weight], betas=(0.9, 0.95), weight_decay=0.5)
    adamw.add_param_group({"params": vectors, "weight_decay": 0.0})
    muon = Muon(hidden, learning_rate=0.0, weight_decay=0.5)
    log = read_log(tmp_path)
    for step, line in enumerate(log):
        plain.zero_grad()
        loss = mean_loss(plain, masked, range(8 * step, 8 * step + 8))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.05).item()
        assert norm > 0.1
        rate = plan.rate(step)
        for group in adamw.param_groups:
            group["lr"] = 5e-3 * rate
        muon.learning_rate = 0.02 * rate
        adamw.step()
        muon.step()
        found = [line[name] for name in ("loss", "gradient_norm", "learning_rate")]
        assert found == pytest.approx([loss.item(), norm, 5e-3 * rate], rel=1e-5)
    for a, b in zip(trained.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        expected = mean_loss(plain, masked, range(13)).item()
    assert log[-1]["validation_loss"] == pytest.approx(expected, rel=1e-5)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.name == "step-00000005"
    assert "wpe.weight" not in read_checkpoint(newest)[0]["model"]


class SameRows(StreamRows):
    """The first rows in each step."""

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return super().take(np.arange(len(samples)))


def test_dropout_is_drawn_anew_in_each_step_and_evaluation_has_none(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    plan = dataclasses.replace(
        PLAN, steps=3, learning_rate=0.0, matrix_learning_rate=0.0, evaluate_every=1
    )
    same = SameRows(rows.tokens, 16, seed=0)
    train(model(dropout=0.5), same, plan, tmp_path / "with", validation=same)
    train(model(dropout=0.5), same, plan, tmp_path / "without")
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    assert len(set(losses(tmp_path / "with"))) == 3
    assert len({line["validation_loss"] for line in read_log(tmp_path / "with")}) == 1


def test_bfloat16_is_for_products_and_not_for_the_loss(rows: StreamRows, model: Make) -> None:
    wide, narrow = (loss_sum(model(), *rows.take(np.arange(4)), b) for b in (False, True))
    assert narrow.dtype == torch.float32
    assert narrow != wide
    assert narrow.item() == pytest.approx(wide.item(), rel=1e-3)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_the_rate_rises_and_falls(schedule: str) -> None:
    plan = dataclasses.replace(PLAN, steps=100, warmup=10, schedule=schedule)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] < rates[5] < max(rates) == rates[10] == 1
    assert rates[99] == pytest.approx({"cosine": 0.1003, "wsd": 0.0253}[schedule], abs=1e-4)
    assert rates[81] < rates[80] == (1 if schedule == "wsd" else pytest.approx(0.2053, abs=1e-4))


class Poisoned(GPT2):
    """Its outputs are NaN for one batch, the seventh."""

    calls = 0

    def forward(self, ids: Tensor, cache: object = None) -> Tensor:
        self.calls += self.training
        return super().forward(ids) * (math.nan if self.calls == 13 else 1.0)


def test_a_loss_that_is_nan_stops_before_the_model_is_changed(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    sick = Poisoned(model().config)
    sick.load_state_dict(model().state_dict())
    said = r"step 7 the loss is nan .*batch 6, samples 48 to 55"
    with pytest.raises(GroundupError, match=said) as stop:
        train(sick, rows, PLAN, tmp_path)
    assert "step-00000004, is good" in str(stop.value)
    assert all(p.isfinite().all() for p in sick.parameters())
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # as a process that is killed leaves it
    # From the good checkpoint, with clean data, it goes on as if nothing had been.
    train(model(), rows, PLAN, tmp_path)
    train(model(), rows, PLAN, tmp_path / "clean")
    assert losses(tmp_path) == losses(tmp_path / "clean")
    log = read_log(tmp_path)
    assert [line["tokens"] for line in log] == list(range(128, 13 * 128, 128))
    assert np.all(np.diff([line["seconds"] for line in log]) > 0)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 13


def test_a_gradient_that_is_nan_stops_it_too(rows: StreamRows, model: Make, tmp_path: Path) -> None:
    def steep(model: nn.Module, ids: Tensor, targets: Tensor, bfloat16: bool) -> Tensor:
        nothing = sum(p.sum() * 0 for p in model.parameters())
        assert isinstance(nothing, Tensor)
        return loss_sum(model, ids, targets, bfloat16) + nothing.sqrt()

    with pytest.raises(GroundupError, match=r"the loss is \d.* norm of the gradients nan"):
        train(model(), rows, PLAN, tmp_path, loss=steep)


def test_another_plan_or_shape_is_not_mixed_in(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    train(model(), rows, dataclasses.replace(PLAN, steps=4), tmp_path)
    with pytest.raises(GroundupError, match=r"another plan: steps 4 \(now 12\)"):
        train(model(), rows, PLAN, tmp_path)
    config = model().config
    for other in (dataclasses.replace(config, dim=8), dataclasses.replace(config, layers=1)):
        with pytest.raises(GroundupError, match="another shape"):
            train(GPT2(other), rows, dataclasses.replace(PLAN, steps=4), tmp_path)


def test_plans_that_cannot_be(rows: StreamRows, model: Make, tmp_path: Path) -> None:
    for world, size in ((World(), 3), (World(0, 2), 8)):
        said = f"batch of 8 rows cannot be shared by {world.size} processes"
        with pytest.raises(GroundupError, match=said):
            train(model(), rows, dataclasses.replace(PLAN, micro_batch=size), tmp_path, world=world)
    with pytest.raises(GroundupError, match="warmup 12 is not below 12 steps"):
        dataclasses.replace(PLAN, warmup=12)
    with pytest.raises(GroundupError, match="checkpoint_every must be at least 1, got 0"):
        dataclasses.replace(PLAN, checkpoint_every=0)


def test_ctrl_c_finishes_the_step_and_writes_a_checkpoint(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    def interrupted_at(step: int, times: int) -> Callable[[Mapping[str, float]], None]:
        def report(line: Mapping[str, float]) -> None:
            for _ in range(times if line["step"] == step else 0):
                os.kill(os.getpid(), signal.SIGINT)

        return report

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        train(model(), rows, PLAN, tmp_path, report=interrupted_at(6, 1))
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.name == "step-00000007"
    with pytest.raises(KeyboardInterrupt) as twice:  # at once
        train(model(), rows, PLAN, tmp_path, report=interrupted_at(9, 2))
    assert twice.type is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) == handler
    train(model(), rows, PLAN, tmp_path, report=interrupted_at(11, 1))  # the last is then done
    train(model(), rows, PLAN, tmp_path / "whole")
    assert losses(tmp_path) == losses(tmp_path / "whole")


def test_a_damaged_checkpoint_is_named(rows: StreamRows, model: Make, tmp_path: Path) -> None:
    train(model(), rows, dataclasses.replace(PLAN, steps=4), tmp_path)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    file = newest / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(GroundupError, match=r"step-00000004 is damaged .*delete it"):
        train(model(), rows, dataclasses.replace(PLAN, steps=4), tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    """A limit on the size of files refuses what is written, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(line: Mapping[str, float]) -> None:
        if line["step"] == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))

    try:
        with pytest.raises(GroundupError, match=r"step 8 .*step-00000004, is whole: make room"):
            train(model(), rows, PLAN, tmp_path, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]
    train(model(), rows, PLAN, tmp_path)
    train(model(), rows, PLAN, tmp_path / "whole")
    assert losses(tmp_path) == losses(tmp_path / "whole")


def test_a_checkpoint_appears_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"model": {"w": torch.ones(3)}}
    write_checkpoint(tmp_path, 1, tensors, {})

    def killed_at(place: int) -> str:
        """The newest checkpoint where the process ends as it brings so much to the disk."""
        left = [KeyboardInterrupt] + [None] * (place - 1)

        def fsync(handle: int) -> None:
            if left and left.pop():
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with suppress(KeyboardInterrupt):
                write_checkpoint(tmp_path, 2, tensors, {})
        assert not [*tmp_path.glob(".*")]
        newest = latest_checkpoint(tmp_path)
        assert newest is not None
        return newest.name

    # The tensors, the state; then it is renamed, and the folder is brought to the disk.
    assert [killed_at(place) for place in (1, 2, 3)] == [
        "step-00000001", "step-00000001", "step-00000002"
    ]  # fmt: skip
    (tmp_path / "step-00000003").mkdir()  # without a state
    (tmp_path / "step-00000003" / "rest").write_text("")
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000002"
    assert write_checkpoint(tmp_path, 3, tensors, {}) == latest_checkpoint(tmp_path)


PROGRAM = """
import sys
from groundup.cli import main
main(["train", "gpt", "--data", sys.argv[1], "--out", sys.argv[2], "--size", "2", "--steps", "60",
      "--context", "16", "--dropout", "0.1", "--precision", "float32"])
"""


def test_after_kill_9_the_losses_are_the_same_bit_for_bit(
    tmp_path: Path, environment: Callable[[], dict[str, str]]
) -> None:
    (tmp_path / "text.txt").write_text("now is the winter of our discontent\n" * 100)
    run = [sys.executable, "-c", PROGRAM, str(tmp_path / "text.txt")]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    beside = subprocess.Popen([*run, str(whole)], env=environment(), stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*run, str(killed)], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:  # killed between two checkpoints, or while one is written
            if line.startswith("step 30 "):
                process.kill()
                break
        assert process.wait(timeout=60) == -signal.SIGKILL
    reached = len(read_log(killed))
    assert 30 <= reached < 60
    again = subprocess.run(
        [*run, str(killed)], env=environment(), check=True, timeout=120, capture_output=True,
        text=True,
    )  # fmt: skip
    assert beside.wait(timeout=120) == 0
    assert "step 15 of" not in again.stdout  # it did not begin anew
    assert losses(killed) == losses(whole)
    assert len(losses(whole)) == 60
    weights = [(folder / "model.safetensors").read_bytes() for folder in (killed, whole)]
    assert weights[0] == weights[1]
