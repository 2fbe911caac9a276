"""``groundup tune``: what it shows, refuses, survives and leaves behind."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from groundup.cli import app
from groundup.cli.tune import _Measured
from groundup.engine.conversation import Conversation
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.load import load_language_model
from groundup.training.checkpoint import latest_checkpoint
from groundup.training.run_log import read_log
from groundup.training.trainer import Plan, evaluate
from groundup.training.world import World
from groundup.tuning import memory_estimate
from groundup.tuning.adapter_folder import load_adapter
from groundup.tuning.data_file import read_data_file
from groundup.tuning.examples import split_examples
from groundup.tuning.memory_estimate import MemoryEstimate, estimate_memory
from groundup.tuning.supervised import SupervisedRows, supervised_loss_sum


def tune(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tune", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture(name="data")
def data_fixture(tmp_path: Path) -> Path:
    """Sixty questions of which one stands there twice."""
    rows = [{"instruction": f"What is {i} and {i}?", "output": f"It is {2 * i}."}
            for i in (*range(60), 7)]  # fmt: skip
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_dry_run_shows_what_is_learned(data: Path, tiny_model: str, tmp_path: Path) -> None:
    said = tune(str(data), "--model", tiny_model, "--dry-run", "--out", str(tmp_path / "out"))
    assert "61 rows of instructions" in said
    assert "rows that repeat an earlier one, left out: 1 (row 61)" in said
    [number] = re.findall(r"What is (\d+) and \1\?<\|im_end\|>", said)
    assert f"«It is {2 * int(number)}.<|im_end|>»" in said
    lines = {words[0]: words[1:] for line in said.splitlines() if (words := line.split())}
    assert lines["training"][0] == "54"
    assert lines["held"][1] == "6"
    assert not (tmp_path / "out").exists()


def test_full_tuning_leaves_a_model_that_opens(data: Path, tiny_model: str, tmp_path: Path) -> None:
    out = tmp_path / "full"
    command = [str(data), "--model", tiny_model, "--method", "full", "--out", str(out),
               "--context", "128", "--epochs", "1", "--learning-rate", "0.01"]  # fmt: skip
    said = tune(*command)
    before = _Measured(**json.loads((out / "before.json").read_text()))
    mean = sum(a * n for a, n in zip(before.losses, before.tokens, strict=True))
    mean /= sum(before.tokens)
    last = read_log(out)[-1]["validation_loss"]
    assert last < mean - 1
    # Read in packed rows or alone, products in bfloat16 round otherwise.
    [shown] = re.findall(r"([\d.]+) before, ([\d.]+) after", " ".join(said.split()))
    assert float(shown[0]) == pytest.approx(math.exp(mean), abs=1e-3)
    assert float(shown[1]) == pytest.approx(math.exp(last), rel=0.05)
    card = (out / "README.md").read_text()
    assert sha256(data.read_bytes()).hexdigest() in card
    assert f"| {shown[0]} | {shown[1]} |" in card
    assert (out / "losses.svg").read_text().startswith("<?xml")
    model, tokenizer = load_language_model(str(out))
    told = "".join(Conversation(model, tokenizer).reply("hi", SamplingParams(), max_tokens=4))
    assert told
    assert not (out / "checkpoints").exists()
    assert f"{out}istunedalready" in "".join(tune(*command).split())  # however it is wrapped
    with pytest.raises(GroundupError, match=r"another tuning: epochs 1\.0 \(now 2\.0\)"):
        tune(*command[:-4], "--epochs", "2", *command[-2:])


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "prefix", "prompt", "ia3"])
def test_each_adapter_learns_and_is_loaded_again(
    data: Path, tiny_model: str, tmp_path: Path, method: str
) -> None:
    out = tmp_path / method
    tune(str(data), "--model", tiny_model, "--method", method, "--out", str(out), "--context", "96",
         "--epochs", "0.5", "--precision", "float32", "--virtual-tokens", "3")  # fmt: skip
    held_out = [x["validation_loss"] for x in read_log(out) if "validation_loss" in x]
    assert held_out[-1] < held_out[0]
    model, tokenizer = load_language_model(tiny_model, torch.float32)
    adapted = load_adapter(out, model)
    split = split_examples(read_data_file(data).examples, tokenizer, 96, 0.1, 0)
    rows = SupervisedRows(split.validation.sequences, 96, 0)
    plan = Plan(steps=2, batch=1, micro_batch=1, learning_rate=1.0, warmup=0)
    loss = evaluate(adapted, rows, plan, World(), supervised_loss_sum)
    assert loss == pytest.approx(held_out[-1], rel=1e-5)
    result = CliRunner().invoke(app, ["chat", "hi", "--adapter", str(out), "--max-tokens", "3",
                                      "--dtype", "float32"])  # fmt: skip
    assert result.exception is None, result.exception
    assert result.output.strip()


# Runs the command, and kills itself when the log has so many steps.
KILLED = """
import os, signal, sys
from groundup.cli import main
from groundup.training.checkpoint import latest_checkpoint
from groundup.training.run_log import RunLog

write = RunLog.write

def write_and_die(self, line):
    written = write(self, line)
    if line["step"] == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return written

RunLog.write = write_and_die
main(sys.argv[2:])
"""


def test_killed_it_goes_on_bit_for_bit(data: Path, tiny_model: str, tmp_path: Path) -> None:
    command = ["tune", str(data), "--model", tiny_model, "--context", "128", "--epochs", "2",
               "--batch", "1", "--dropout", "0.1", "--out"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, "18", *command, str(killed)],
        env=environment, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert len(read_log(killed)) == 18
    newest = latest_checkpoint(killed / "checkpoints")
    assert newest is not None
    assert int(newest.name[-8:]) < 18  # some steps are done again
    for folder in (whole, killed):
        tune(*command[1:], str(folder))
    logs = [[(line["step"], line["loss"], line["gradient_norm"], line.get("validation_loss"))
             for line in read_log(folder)] for folder in (whole, killed)]  # fmt: skip
    assert len(logs[0]) > 20
    assert logs[0] == logs[1]
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (whole, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_too_little_memory_is_refused_with_what_would_fit(
    data: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MemoryEstimate] = []

    def note(*arguments: Any, **options: Any) -> MemoryEstimate:
        asked.append(estimate_memory(*arguments, **options))
        return asked[-1]

    monkeypatch.setattr(memory_estimate, "estimate_memory", note)
    monkeypatch.setattr(memory_estimate, "available_memory", lambda device: asked[0].more - 1)
    with pytest.raises(
        GroundupError,
        match=r"takes about \d\.\d GB .* GB are free: --context \d+ .* or --method lora .* fit",
    ):
        tune(str(data), "--model", tiny_model, "--method", "full", "--out", str(tmp_path / "o"))
    assert not (tmp_path / "o").exists()  # so that another --context begins there


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "sgd"), "expected one of full, lora"),
        (("--precision", "int8"), "expected auto, bfloat16 or float32"),
        (("--epochs", "0"), r"--epochs is 0\.0: expected more than 0"),
        (("--learning-rate", "-1"), "expected more than 0"),
        (("--context", "9000"), "the model reads at most 8192"),
        (("--context", "32"), "no example to learn from"),
        (("--targets", "nothing"), "'nothing' fit no layer"),
    ],
)
def test_options_that_cannot_be(
    data: Path, tiny_model: str, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    with pytest.raises(GroundupError, match=message):
        tune(str(data), "--model", tiny_model, "--out", str(tmp_path / "out"), *options)
