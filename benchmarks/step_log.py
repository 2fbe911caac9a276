"""What it costs the engine to keep a log of its steps.

A Llama of about six million parameters with random weights, whose steps are short; 16 tokens in,
16 out, all requests there at once. Rounds with and without the log take turns. Counted is the
processor's time, which other programs do not lengthen; printed are the median rates, and the median
of the rounds' ratios.

    python -m benchmarks.step_log [--requests 1000] [--rounds 15] [--threads 2] [--batch 256]
"""

import argparse
import statistics
import time
from unittest.mock import patch

import torch
from numba import set_num_threads

from benchmarks.engine import answer_all
from benchmarks.small_model import CONFIG, small_model
from groundup.engine.engine import Engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=256, help="sequences at a time")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    set_num_threads(arguments.threads)
    engine = Engine(
        small_model(), positions=arguments.batch * 64, token_budget=1024,
        max_sequences=arguments.batch,
    )  # fmt: skip

    def rate() -> float:
        prompts = [
            tuple(torch.randint(0, CONFIG.vocabulary, (16,)).tolist())
            for _ in range(arguments.requests)
        ]
        start = time.process_time()
        answer_all(engine, prompts, 16)
        return float(arguments.requests) / (time.process_time() - start)

    def rate_without() -> float:
        with patch.multiple(engine.log, begin=lambda *_: None, end=lambda: None):
            return rate()

    rate()  # compiles and warms up
    logged: list[float] = []
    plain: list[float] = []
    for round in range(arguments.rounds):
        for kept, measure in ((logged, rate), (plain, rate_without))[:: 1 if round % 2 else -1]:
            kept.append(measure())
    ratio = statistics.median(a / b for a, b in zip(logged, plain, strict=True))
    print(
        f"{arguments.batch} at a time: {statistics.median(logged):.0f} requests a second of "
        "processor time with the log, "
        f"{statistics.median(plain):.0f} without; ratio {ratio:.3f}"
    )


if __name__ == "__main__":
    main()
