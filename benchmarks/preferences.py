"""GRPO on a task whose answers a program checks: sums of two numbers below 100.

A small Llama learns sums from examples of which a third are wrong, so that it writes such answers
itself. Then it practises other sums for rewards alone: no answer is shown to it any more, it is
only told what its own ones are worth. It is measured on sums that it saw in neither.

    python benchmarks/preferences.py [--out FOLDER] [--steps 400] [--beta 0.01]
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.evaluation.bootstrap import bootstrap_interval
from groundup.models.fused_attention import fused_attention
from groundup.models.llama import Llama, LlamaConfig
from groundup.tokenizers.from_hugging_face import tokenizer_from_json
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.loss_curve import save_plot
from groundup.training.run_log import read_log
from groundup.training.trainer import Plan, train
from groundup.tuning.loss_mask import MaskedSequence
from groundup.tuning.rewards import arithmetic_reward
from groundup.tuning.rollouts import Rollouts, Task, rewards_of
from groundup.tuning.supervised import SupervisedRows, supervised_loss_sum

Given = argparse.Namespace

NUMBERS = 100
TAUGHT, HELD_OUT = 6000, 1000  # of 10,000 sums; the others are practised with rewards
WRONG = 1 / 3  # of the answers that are taught, which are off by 1 or by 10
LONGEST = 5  # tokens of an answer: three digits and the end, and one to be wrong with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--taught-steps", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--tasks", type=int, default=16, help="of a step")
    parser.add_argument("--group", type=int, default=8, help="answers to a task")
    parser.add_argument("--beta", type=float, default=0.01)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tokenizer = tokenizer_from_json(character_tokenizer(["0123456789+="]), eos="<|endoftext|>")
    sums = np.random.default_rng(given.seed).permutation(NUMBERS**2)
    taught, held_out, practised = np.split(sums, [TAUGHT, TAUGHT + HELD_OUT])
    torch.manual_seed(given.seed)
    config = LlamaConfig(
        vocabulary=tokenizer.size, dim=64, hidden_dim=192, layers=2, heads=2, kv_heads=2,
        head_dim=32, context=32, tied_embeddings=True,
    )  # fmt: skip
    model = Llama(config, fused_attention)
    model.draw_weights()
    with TemporaryDirectory() as scratch:
        folder = given.out or Path(scratch)
        teach(model, tokenizer, taught, given, folder / "taught")
        tests = tasks(held_out, tokenizer)

        def measured() -> dict[str, NDArray[np.float64]]:
            found = partial(rewards_of, model, tests, tokenizer, max_tokens=LONGEST)
            return {"sampled": found(temperature=1, seed=1), "likeliest": found()}

        before = measured()
        print({f"taught, {name}": float(values.mean()) for name, values in before.items()})
        began = time.perf_counter()
        reference = copy.deepcopy(model).requires_grad_(False)
        practise(model, reference, tokenizer, practised, given, folder / "practised")
        seconds = time.perf_counter() - began
        after = measured()
        log = read_log(folder / "practised")
        result: dict[str, object] = {
            name: {
                "before": before[name].mean(), "after": after[name].mean(),
                "gain": (after[name] - before[name]).mean(),
                "interval": bootstrap_interval(after[name] - before[name]),
            }
            for name in before
        }  # fmt: skip
        result |= {
            "held_out": len(tests), "steps": given.steps, "seconds": seconds,
            "divergence": log[-1]["divergence"],
            "mismatch": max(line["mismatch"] for line in log),
        }  # fmt: skip
        print(json.dumps(result, indent=2))
        if given.out:
            save_plot(log, folder / "rewards.svg", "GRPO on sums", measured="reward")


def tasks(sums: NDArray[np.int64], tokenizer: Tokenizer) -> list[Task]:
    """For each sum its prompt, such as ``07+35=``, and the reward of the right number."""
    pairs = [divmod(int(number), NUMBERS) for number in sums]
    return [
        Task(tuple(tokenizer.encode(f"{a:02}+{b:02}=")), partial(arithmetic_reward, expected=a + b))
        for a, b in pairs
    ]


def teach(
    model: Llama, tokenizer: Tokenizer, sums: NDArray[np.int64], given: Given, folder: Path
) -> None:
    """Supervised: the answers are shown."""
    sequences = []
    generator = np.random.default_rng(given.seed)
    for number in sums:
        a, b = divmod(int(number), NUMBERS)
        slip = int(generator.choice([-10, -1, 1, 10])) if generator.random() < WRONG else 0
        prompt = tokenizer.encode(f"{a:02}+{b:02}=")
        answer = tokenizer.encode(f"{max(0, a + b + slip):03}")
        ids = [*prompt, *answer, *tokenizer.eos_ids]
        sequences.append(MaskedSequence(ids, [i >= len(prompt) for i in range(len(ids))]))
    rows = SupervisedRows(sequences, 9, given.seed)  # one in a row
    steps = given.taught_steps
    plan = Plan(
        steps=steps, batch=64, micro_batch=64, learning_rate=3e-3, warmup=20, seed=given.seed,
        checkpoint_every=steps,
    )  # fmt: skip
    train(model, rows, plan, folder, loss=supervised_loss_sum)


def practise(
    model: Llama,
    reference: Llama,
    tokenizer: Tokenizer,
    sums: NDArray[np.int64],
    given: Given,
    folder: Path,
) -> None:
    """GRPO: only what an answer is worth is told."""

    @contextmanager
    def found(which: Llama) -> Iterator[Llama]:
        yield which

    rollouts = Rollouts(
        tasks(sums, tokenizer), tokenizer, partial(found, model), group=given.group,
        max_tokens=LONGEST, seed=given.seed, reference=partial(found, reference), micro_batch=256,
    )  # fmt: skip
    batch = given.tasks * given.group
    plan = Plan(
        steps=given.steps, batch=batch, micro_batch=batch, learning_rate=given.rate, warmup=10,
        weight_decay=0.0, seed=given.seed, checkpoint_every=given.steps,
    )  # fmt: skip

    def report(line: Mapping[str, float]) -> None:
        if line["step"] % 10 == 0:
            print({name: round(value, 4) for name, value in line.items()}, flush=True)

    train(
        model, rollouts, plan, folder, loss=rollouts.loss_sum(beta=given.beta),
        figures=lambda: rollouts.figures, report=report,
    )  # fmt: skip


if __name__ == "__main__":
    main()
