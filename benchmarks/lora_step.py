"""A step of LoRA beside `peft` over `transformers`: tokens a second of equal steps.

    python -m benchmarks.lora_step [--model smollm2-135m-instruct] [--rounds 5] [--bfloat16]

The same weights, adapter (rank 16, all linear layers but the output), rows and AdamW on all sides,
gradients clipped at 1; the losses of the first step are printed. A quarter of the targets, or as
many as ``--masked`` says, are not counted, as a conversation's questions are not. One thread;
tokens a second of processor time, because neighbours take turns at the cores; sides in turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from groundup.cli.tune import train_with_fused_layers
from groundup.models.llama import Llama
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.models.load import load_model
from groundup.training.adamw import AdamW
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.gradient_clipping import clip_gradients
from groundup.tuning.adapt import adapt
from groundup.tuning.adapter_config import AdapterConfig
from groundup.tuning.adapter_folder import save_adapter
from groundup.tuning.supervised import supervised_loss_sum

RATE = 1e-4


def ours(model: Llama, ids: torch.Tensor, targets: torch.Tensor, folder: Path, bfloat16: bool
         ) -> Callable[[], float]:  # fmt: skip
    """A function that takes a step and returns its loss."""
    if bfloat16:  # frozen matrices need no more; their products are autocast's own
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.bfloat16()
    train_with_fused_layers(model)
    adapted = adapt(model, AdapterConfig("lora", rank=16, alpha=32), seed=0)
    save_adapter(folder / "adapter", adapted)
    parameters = list(adapted.trained_parameters().values())
    optimizer = AdamW(parameters, learning_rate=RATE, betas=(0.9, 0.999))
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    inputs = torch.stack((ids, positions), dim=1)
    counted = int((targets != IGNORED).sum())
    adapted.train()

    def step() -> float:
        loss = supervised_loss_sum(model, inputs, targets, bfloat16) / counted
        loss.backward()
        clip_gradients(parameters, 1.0)
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        return loss.item()

    return step


def theirs(
    ids: torch.Tensor,
    targets: torch.Tensor,
    folder: Path,
    bfloat16: bool,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], float]:
    """The same by `peft`, over a base held in ``dtype``."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model: Any = PeftModel.from_pretrained(base, str(folder / "adapter"), is_trainable=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    model.train()

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = model(input_ids=ids, labels=targets, shift_labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--masked", type=float, default=0.25)
    parser.add_argument("--bfloat16", action="store_true", help="products in bfloat16 (autocast)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load_model(arguments.model, torch.float32).model
    ids = torch.randint(0, model.config.vocabulary, (arguments.rows, arguments.context + 1))
    ids, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[:, : int(arguments.masked * arguments.context)] = IGNORED
    with tempfile.TemporaryDirectory() as name:
        llama_to_hugging_face(model, Path(name))
        sides = {
            "ours": ours(model, ids, targets, Path(name), arguments.bfloat16),
            "peft": theirs(ids, targets, Path(name), arguments.bfloat16),
        }
        if arguments.bfloat16:  # values between layers are then bfloat16 too, as ours are not
            narrow = theirs(ids, targets, Path(name), True, torch.bfloat16)
            sides["peft over bfloat16"] = narrow
    found: dict[str, list[float]] = {side: [] for side in sides}
    for round in range(arguments.rounds + 1):
        losses = {}
        for side, step in sides.items():
            began = time.process_time()
            losses[side] = step()
            if round:
                found[side].append(ids.numel() / (time.process_time() - began))
        if not round:
            print(f"first losses {losses}", flush=True)
    print(f"torch {torch.__version__}, 1 thread, {arguments.rows} rows of {arguments.context}, "
          f"{arguments.masked:.0%} not counted, {'bfloat16' if arguments.bfloat16 else 'float32'}"
          )  # fmt: skip
    for side, rates in found.items():
        print(f"{side}: {statistics.median(rates):.1f} tokens/s")
    for side in list(sides)[1:]:
        ratios = [a / b for a, b in zip(found["ours"], found[side], strict=True)]
        print(f"to {side}: {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
