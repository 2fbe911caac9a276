"""How many requests a second the engine answers by itself, without a server, on a small model.

A Llama of about six million parameters with random weights; 16 tokens in, 16 out, greedy, all
requests there at once, every prompt another. Prints the median of some rounds.

    python -m benchmarks.engine [--requests 1000] [--rounds 5] [--threads 2] [--batch 256]
"""

import argparse
import statistics
import time

import torch
from numba import set_num_threads

from benchmarks.small_model import CONFIG, small_model
from groundup.engine.engine import Engine
from groundup.engine.request import Request


def answer_all(engine: Engine, prompts: list[tuple[int, ...]], new: int) -> int:
    tokens = 0
    for key, prompt in enumerate(prompts):
        engine.add(key, Request(prompt, max_tokens=new))
    while engine.busy:
        tokens += len(engine.step())
    return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=256, help="sequences at a time")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    set_num_threads(arguments.threads)
    model = small_model()
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    engine = Engine(
        model, positions=arguments.batch * 64, token_budget=1024, max_sequences=arguments.batch
    )
    rates = []
    for round in range(arguments.rounds + 1):  # the first one compiles and warms up
        prompts = [
            tuple(torch.randint(0, CONFIG.vocabulary, (16,)).tolist())
            for _ in range(arguments.requests)
        ]
        start = time.perf_counter()
        tokens = answer_all(engine, prompts, 16)
        elapsed = time.perf_counter() - start
        assert tokens == 16 * arguments.requests
        if round:
            rates.append(arguments.requests / elapsed)
    print(f"{parameters:.1f} million parameters, {arguments.threads} threads, "
          f"{arguments.batch} at a time: {statistics.median(rates):.0f} requests/s "
          f"({min(rates):.0f} to {max(rates):.0f})")  # fmt: skip


if __name__ == "__main__":
    main()
