"""The loop: what it learns, what it survives."""

import dataclasses
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.gpt2 import GPT2
from groundup.training import checkpoint
from groundup.training.checkpoint import latest_checkpoint
from groundup.training.rows import StreamRows
from groundup.training.run_log import read_log
from groundup.training.trainer import Interrupted, Plan, evaluate, train
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
    train(trained, rows, PLAN, tmp_path, validation=rows, report=told.append,
          sample=lambda: samples.append(1))  # fmt: skip
    log = read_log(tmp_path)
    assert log == told
    assert [line["step"] for line in log] == list(range(1, 13))
    assert log[-1]["tokens"] == 12 * 8 * 16
    assert log[-1]["loss"] < log[0]["loss"] - 0.25
    assert [line["step"] for line in log if "validation_loss" in line] == [5, 10, 12]
    assert len(samples) == 3
    assert log[-1]["validation_loss"] == evaluate(trained, rows, PLAN, World())
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000012"]
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    assert header.startswith("step,tokens,seconds,loss,validation_loss")
    assert len(lines) == 12


def test_micro_batches_change_nothing_but_the_rounding(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    for size in (8, 2):
        plan = dataclasses.replace(PLAN, micro_batch=size)
        train(model().double(), rows, plan, tmp_path / str(size))
    np.testing.assert_allclose(losses(tmp_path / "8"), losses(tmp_path / "2"), rtol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_the_rate_rises_and_falls(schedule: str) -> None:
    plan = dataclasses.replace(PLAN, steps=100, warmup=10, schedule=schedule)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] < rates[5] < max(rates) == rates[10] == 1
    assert rates[99] < 0.2
    assert (rates[70] == 1) == (schedule == "wsd")


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
    # From the good checkpoint, with clean data, it goes on as if nothing had been.
    train(model(), rows, PLAN, tmp_path)
    train(model(), rows, PLAN, tmp_path / "clean")
    assert losses(tmp_path) == losses(tmp_path / "clean")


def test_another_plan_or_shape_is_not_mixed_in(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    train(model(), rows, dataclasses.replace(PLAN, steps=4), tmp_path)
    with pytest.raises(GroundupError, match=r"another plan: steps 4 \(now 12\)"):
        train(model(), rows, PLAN, tmp_path)
    other = GPT2(dataclasses.replace(model().config, dim=8))
    with pytest.raises(GroundupError, match="another shape"):
        train(other, rows, dataclasses.replace(PLAN, steps=4), tmp_path)


def test_batches_that_cannot_be_shared_are_refused(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    with pytest.raises(GroundupError, match="batch of 8 rows cannot be shared by 1 processes"):
        train(model(), rows, dataclasses.replace(PLAN, micro_batch=3), tmp_path)


def test_ctrl_c_finishes_the_step_and_writes_a_checkpoint(
    rows: StreamRows, model: Make, tmp_path: Path
) -> None:
    def interrupt(line: Mapping[str, float]) -> None:
        if line["step"] == 6:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(model(), rows, PLAN, tmp_path, report=interrupt)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.name == "step-00000007"
    train(model(), rows, PLAN, tmp_path)
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
    checkpoint.write_checkpoint(tmp_path, 1, tensors, {})

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_to_disk", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_checkpoint(tmp_path, 2, tensors, {})
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "step-00000001"


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
