"""Encoding speed of groundup's tokenizer against the `tokenizers` library (Rust), on one thread.

Run: ``python benchmarks/tokenizer.py``. The text is about 1 MB of the standard library's sources;
both encode it in turn, on the same vocabulary, and the medians are compared. Ours runs once with
an empty word cache before each timed run with a full one.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: one thread for both

import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from tokenizers import decoders, models, pre_tokenizers

ROUNDS = 7


def text() -> str:
    library = Path(sysconfig.get_path("stdlib"))
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(library.glob("*.py")))[
        :1_000_000
    ]


def rust(metadata: dict[str, Any]) -> tokenizers.Tokenizer:
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    built = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens(tokens[:17])
    return built


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    sample, theirs = text(), rust(metadata)
    megabytes = len(sample.encode()) / 1e6
    runs: dict[str, list[float]] = {"cold": [], "warm": [], "tokenizers": []}
    for _ in range(ROUNDS):
        ours = tokenizer_from_gguf(metadata)
        runs["cold"].append(seconds(lambda: ours.encode(sample)))  # noqa: B023
        runs["warm"].append(seconds(lambda: ours.encode(sample)))  # noqa: B023
        runs["tokenizers"].append(seconds(lambda: theirs.encode(sample)))
        assert ours.encode(sample) == theirs.encode(sample).ids
    speed = {name: megabytes / statistics.median(times) for name, times in runs.items()}
    print(f"{megabytes:.2f} MB, medians of {ROUNDS} interleaved runs, MB/s:")
    print(f"  groundup, empty word cache  {speed['cold']:6.2f}")
    print(f"  groundup, full word cache   {speed['warm']:6.2f}")
    print(f"  tokenizers                  {speed['tokenizers']:6.2f}")
    print(f"  ratio groundup / tokenizers {speed['cold'] / speed['tokenizers']:6.2f} (empty cache)")
    word = "a" * 100_000
    ours = tokenizer_from_gguf(metadata)
    print(
        f"one word of 100,000 letters: groundup {seconds(lambda: ours.encode(word)):.2f} s, "
        f"tokenizers {seconds(lambda: theirs.encode(word)):.2f} s"
    )


if __name__ == "__main__":
    main()
