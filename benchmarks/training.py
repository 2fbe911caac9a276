"""Training beside its peers: speed against `transformers`' Trainer, a whole run against nanoGPT.

    python benchmarks/training.py speed [--rounds 5] [--threads 2] [--compiled]
    python benchmarks/training.py run --text input.txt [--nanogpt FOLDER]

``speed``: tokens a second of processor time, on one thread (with ``--threads 2`` by the clock, for
a machine that nobody else keeps busy), of a GPT-2 of equal shape, dtype, batch
and AdamW, in the same process, in turns; and our model FLOPs utilisation (MFU): the part of the
matrix products' peak, measured in the same round, that the products of forward and backward passes
reach. Processor time, because neighbours take turns at the cores.

``run``: `groundup train gpt` at its default size on a text, and, where FOLDER is a checkout of
nanoGPT, its small setting for a CPU at the same time, each in processes of its own with one thread.
Both models are then evaluated on the same held-out rows.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from groundup.models.fused_attention import fused_attention
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.training.rows import Rows, StreamRows
from groundup.training.token_shards import TokenShards
from groundup.training.trainer import Plan, evaluate, train
from groundup.training.world import World

SHAPES = {  # context, width, layers, heads, rows
    "4 layers of 128": (64, 128, 4, 4, 12),
    "6 layers of 256": (128, 256, 6, 8, 8),
}
VOCABULARY = 512
STEPS = 12  # of a measurement; the first two are not counted

SMALL = {
    "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 100, "block_size": 64,
    "batch_size": 12, "n_layer": 4, "n_head": 4, "n_embd": 128, "max_iters": 2000,
    "lr_decay_iters": 2000, "dropout": 0.0, "always_save_checkpoint": True,
}  # fmt: skip


class RandomRows:
    """Rows of random ids."""

    def __init__(self, context: int) -> None:
        self.ids = torch.randint(0, VOCABULARY, (256, context + 1))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, samples: "np.ndarray[Any, np.dtype[np.int64]]") -> Any:
        """As `Rows.take`."""
        chosen = self.ids[samples % len(self.ids)]
        return chosen[:, :-1], chosen[:, 1:]


def matmul_peak(dtype: torch.dtype, now: Callable[[], float]) -> float:
    """FLOP/s of a product of matrices of 1024, the best of twenty."""
    a, b = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        began = now()
        a @ b
        best = min(best, now() - began)
    return 2 * 1024**3 / best


def flops_per_token(context: int, dim: int, layers: int) -> float:
    """Of the products of one forward and one backward pass, attention's over half of the rows."""
    matrices = layers * 12 * dim * dim + VOCABULARY * dim
    return 6 * matrices + 6 * layers * context * dim


def ours(
    shape: tuple[int, ...], bfloat16: bool, compiled: bool, now: Callable[[], float]
) -> Callable[[], float]:
    """A function that trains some steps and returns tokens a second, by the clock ``now``."""
    context, dim, layers, heads, rows = shape
    model = GPT2(GPT2Config(VOCABULARY, context, dim, layers, heads), fused_attention)
    data: Rows = RandomRows(context)
    plan = Plan(STEPS, rows, rows, 1e-3, warmup=2, bfloat16=bfloat16, compile=compiled)

    def measure() -> float:
        times: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            train(
                model, data, plan, Path(folder),
                report=lambda line: times.append(now()),
            )  # fmt: skip
        return rows * context / float(np.median(np.diff(times)[1:]))

    return measure


def trainers(
    shape: tuple[int, ...], bfloat16: bool, now: Callable[[], float]
) -> Callable[[], float]:
    """The same of `transformers.Trainer`."""
    from transformers import (
        GPT2Config as TheirConfig,
    )
    from transformers import (
        GPT2LMHeadModel,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    context, dim, layers, heads, rows = shape
    config = TheirConfig(
        vocab_size=VOCABULARY, n_positions=context, n_embd=dim, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    ids = RandomRows(context).ids[:, :-1]
    data = [{"input_ids": row, "labels": row} for row in ids]

    class Clock(TrainerCallback):  # type: ignore[misc]
        times: list[float]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(now())

    def measure() -> float:
        clock = Clock()
        clock.times = []
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, max_steps=STEPS, per_device_train_batch_size=rows, learning_rate=1e-3,
                weight_decay=0.1, max_grad_norm=1.0, use_cpu=True, bf16=bfloat16, report_to=[],
                save_strategy="no", logging_strategy="no", disable_tqdm=True,
            )  # fmt: skip
            Trainer(model, arguments, train_dataset=data, callbacks=[clock]).train()
        steps = np.diff(clock.times)[1:]
        return rows * context / float(np.median(steps))

    return measure


def speed(rounds: int, threads: int, compiled: bool) -> None:
    """Print a table of tokens a second."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    # Of all threads, which no other program disturbs; the wall's where several run.
    now = time.process_time if threads == 1 else time.perf_counter
    print(f"torch {torch.__version__}, {threads} threads, medians of {rounds} rounds")
    print(
        "| shape | products | Trainer | ours | ratio | MFU |\n|---|---|---|---|---|---|", flush=True
    )
    for name, shape in SHAPES.items():
        for bfloat16 in (False, True):
            theirs, our = trainers(shape, bfloat16, now), ours(shape, bfloat16, compiled, now)
            dtype = torch.bfloat16 if bfloat16 else torch.float32
            if compiled:
                our()
            found = [(theirs(), our(), matmul_peak(dtype, now)) for _ in range(rounds)]
            trainer, ourselves, peak = (
                statistics.median(column) for column in zip(*found, strict=True)
            )
            ratio = statistics.median(b / a for a, b, _ in found)
            mfu = statistics.median(b * flops_per_token(*shape[:3]) / c for _, b, c in found)
            print(
                f"| {name} | {str(dtype)[6:]} | {trainer:,.0f} | {ourselves:,.0f} | {ratio:.2f} "
                f"| {mfu:.0%} of {peak / 1e9:.0f} GFLOP/s |",
                flush=True,
            )


def whole_run(text: Path, nanogpt: Path | None, options: list[str]) -> None:
    """Train both to the end, at the same time, and print what each took and reached."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "ours"
        commands = {
            "groundup": [sys.executable, "-m", "groundup", "train", "gpt", "--data", str(text),
                         "--size", "4", "--out", str(out), *options],
        }  # fmt: skip
        if nanogpt is not None:
            theirs = folder / "nanogpt"
            shutil.copytree(nanogpt, theirs, ignore=shutil.ignore_patterns(".git"))
            shutil.copy(text, theirs / "data/shakespeare_char/input.txt")
            prepare = [sys.executable, "data/shakespeare_char/prepare.py"]
            subprocess.run(prepare, cwd=theirs, check=True, stdout=subprocess.DEVNULL)
            flags = [f"--{key}={value}" for key, value in SMALL.items()]
            script = ["train.py", "config/train_shakespeare_char.py", *flags]
            commands["nanoGPT"] = [sys.executable, *script]
        running = {}
        for name, command in commands.items():
            with (folder / f"{name}.log").open("w") as log:
                running[name] = subprocess.Popen(
                    command, cwd=theirs if name == "nanoGPT" else folder, env=environment,
                    stdout=log, stderr=log,
                )  # fmt: skip
        began = time.perf_counter()
        took: dict[str, tuple[float, float]] = {}
        while len(took) < len(running):
            pid, status, usage = os.wait4(-1, 0)
            name = next(n for n, process in running.items() if process.pid == pid)
            if status:
                raise SystemExit((folder / f"{name}.log").read_text()[-2000:])
            took[name] = (time.perf_counter() - began, usage.ru_utime + usage.ru_stime)
            print(f"{name}: {took[name]}", file=sys.stderr, flush=True)
        rows = StreamRows(TokenShards(out / "data" / "validation"), 64, seed=0)
        plan = Plan(1, 12, 12, 0.0, warmup=0, evaluation_rows=len(rows))
        losses = {"groundup": evaluate(our_model(out), rows, plan, World())}
        if nanogpt is not None:
            losses["nanoGPT"] = evaluate(their_model(theirs, text, out), rows, plan, World())
        print(f"| | held-out loss ({len(rows):,} rows) | processor time | wall time |")
        print("|---|---|---|---|")
        for name, loss in losses.items():
            wall, processor = took[name]
            print(f"| {name} | {loss:.4f} | {processor:.1f} s | {wall:.1f} s |")
        log_lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
        for line in log_lines:
            if "validation_loss" in line:
                held_out = line["validation_loss"]
                print(f"  ours at step {line['step']}: {held_out:.4f}, {line['seconds']:.0f} s")


def our_model(folder: Path) -> torch.nn.Module:
    """What was trained."""
    from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face

    return gpt2_from_hugging_face(folder)


def their_model(folder: Path, text: Path, ours: Path) -> torch.nn.Module:
    """nanoGPT's, from its checkpoint, by its own code, reading and scoring our ids."""
    sys.path.insert(0, str(folder))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    saved = torch.load(folder / "out-shakespeare-char/ckpt.pt", weights_only=True)
    model = GPT(GPTConfig(**saved["model_args"]))
    model.load_state_dict(saved["model"])
    tokenizer = tokenizer_from_folder(ours)
    characters = sorted(set(text.read_text("utf-8")))  # their ids count these
    theirs = torch.zeros(tokenizer.size, dtype=torch.int64)
    for number, character in enumerate(characters):
        theirs[tokenizer.encode(character)[0]] = number

    class AllLogits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            ids = theirs[ids]
            logits, _ = self.model(ids, ids)  # with targets, it returns all positions
            found: torch.Tensor = logits[..., theirs]
            found[..., list(tokenizer.eos_ids)] = -torch.inf  # which they do not have
            return found

    return AllLogits()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    of_speed = commands.add_parser("speed")
    of_speed.add_argument("--rounds", type=int, default=5)
    of_speed.add_argument("--threads", type=int, default=1)
    of_speed.add_argument("--compiled", action="store_true", help="compile our layers first")
    of_run = commands.add_parser("run")
    of_run.add_argument("--text", type=Path, required=True)
    of_run.add_argument("--nanogpt", type=Path)
    arguments, rest = parser.parse_known_args()
    if arguments.command == "speed":
        speed(arguments.rounds, arguments.threads, arguments.compiled)
    else:
        whole_run(arguments.text.resolve(), arguments.nanogpt, rest)


if __name__ == "__main__":
    main()
