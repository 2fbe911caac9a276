"""Prefill and decode speed of the default model, ours against `transformers.generate`.

Both read the same GGUF file, are run in turn in one process on the same threads, and generate
greedily. Prints medians, the ratio ours/theirs, and how near decode comes to the memory's speed:
each new token has to read every weight once.

    python benchmarks/generate.py [--rounds 5] [--prompts 128,512] [--new 64]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from groundup.engine.generate import generate
from groundup.engine.sampling_params import SamplingParams
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.models.llama import Llama
from groundup.models.llama_from_gguf import llama_from_gguf


def seconds(call: Callable[..., object], *arguments: int) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def ours(model: Llama, prompt: list[int], new: int) -> list[int]:
    return list(generate(model, prompt, SamplingParams(), max_tokens=new))


def theirs(model: Any, prompt: list[int], new: int) -> object:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                              max_new_tokens=new, min_new_tokens=new, eos_token_id=None,
                              pad_token_id=0)  # fmt: skip


def read_bandwidth() -> float:
    """Bytes a second at which all threads together read memory: the best of some sums of 1 GB."""
    block = torch.ones(250_000_000)
    block.sum()
    return 1e9 / min(seconds(block.sum) for _ in range(7))


def weight_bytes(model: Llama) -> int:
    """What one token reads: every matrix once (of the embedding, as the output layer)."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", default="128,512", help="prompt lengths in tokens")
    parser.add_argument("--new", type=int, default=64, help="tokens to generate")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    path: Path = fetch("smollm2-135m-instruct")
    file = read_gguf(path)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")  # fmt: skip
    bandwidth = read_bandwidth()
    print(f"memory is read at {bandwidth / 1e9:.1f} GB/s\n")
    print("| weights | prompt | | ours | transformers | ratio |")
    print("|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        mine = llama_from_gguf(file, dtype)
        other = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=dtype
        ).eval()
        name = str(dtype).removeprefix("torch.")
        for length in map(int, arguments.prompts.split(",")):
            prompt = torch.randint(3, 49000, (length,), generator=torch.manual_seed(0)).tolist()
            runs: list[Callable[[int], object]] = [
                partial(ours, mine, prompt),
                partial(theirs, other, prompt),
            ]
            prefill: list[list[float]] = [[], []]
            decode: list[list[float]] = [[], []]
            for round in range(arguments.rounds + 1):  # the first one warms up
                for which, run in enumerate(runs):
                    first = seconds(run, 1)
                    whole = seconds(run, 1 + arguments.new)
                    if round:
                        prefill[which].append(length / first)
                        decode[which].append(arguments.new / (whole - first))
            for what, speeds in (("prefill", prefill), ("decode", decode)):
                a, b = (statistics.median(s) for s in speeds)
                ratio = statistics.median(x / y for x, y in zip(*speeds, strict=True))
                print(f"| {name} | {length} | {what} | {a:.1f} tokens/s | {b:.1f} tokens/s | "
                      f"{ratio:.2f} |", flush=True)  # fmt: skip
            roof = bandwidth / weight_bytes(mine)
            best = statistics.median(decode[0])
            print(f"| {name} | {length} | roofline of decode | {roof:.1f} tokens/s: "
                  f"ours reaches {best / roof:.0%} | | |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
