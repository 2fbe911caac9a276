"""Speed of groundup's tokenizers against `tokenizers` (Rust) and `tiktoken` (Rust), on one thread.

Run: ``python benchmarks/tokenizer.py encode [FILE_OR_FOLDER]`` or ``... train [FILE_OR_FOLDER]``.

``encode``: 2 MB of the text, by vocabularies of 8,192 tokens that are trained on it first, and by
SmolLM2's; all encode it in turn, and medians are compared. Ours runs once with an empty word cache
before each timed run with a full one; `tokenizers` keeps its own cache, `tiktoken` has none.

``train``: byte-level BPE with ``--merges`` merges on the whole text, ours and `tokenizers` in turn,
from the text in memory to the merges.

Seconds are the processor's. The text is the standard library's sources unless a file or folder
(``--files`` of it) is given.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: one thread for all
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiktoken

import tokenizers
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.from_hugging_face import tokenizer_from_json
from groundup.tokenizers.pre_tokenization import PATTERNS
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tokenizers.tokenizer_training import train_tokenizer
from groundup.tokenizers.word_counts import corpus_files
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

SAMPLE = 2_000_000  # characters that are encoded
BLOCK = 1_000_000


def text(corpus: Path, files: str) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in corpus_files(corpus, files)
    )


def smollm(metadata: dict[str, Any]) -> Any:
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


def in_tiktoken(spec: dict[str, Any], pattern: str) -> tiktoken.Encoding:
    spelled = {character: byte for byte, character in byte_alphabet().items()}
    ranks = {
        bytes(map(spelled.__getitem__, token)): i
        for token, i in spec["model"]["vocab"].items()
        if i > 0
    }
    return tiktoken.Encoding(
        "own", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={"<|x|>": 0}
    )


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, which other processes change less than those of the clock."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(
    name: str, build: Callable[[], Tokenizer], theirs: Any, sample: str, rounds: int,
    encoding: tiktoken.Encoding | None = None,
) -> None:  # fmt: skip
    build().encode(sample[:1000])  # compiles
    runs: dict[str, list[float]] = {"cold": [], "warm": [], "tokenizers": [], "tiktoken": []}
    for _ in range(rounds):
        ours = build()
        runs["cold"].append(seconds(lambda: ours.encode(sample)))  # noqa: B023
        runs["warm"].append(seconds(lambda: ours.encode(sample)))  # noqa: B023
        runs["tokenizers"].append(seconds(lambda: theirs.encode(sample)))
        if encoding is not None:
            runs["tiktoken"].append(seconds(lambda: encoding.encode_ordinary(sample)))
    assert build().encode(sample) == theirs.encode(sample).ids
    megabytes = len(sample.encode()) / 1e6
    speed = {n: megabytes / statistics.median(times) for n, times in runs.items() if times}
    print(f"{name:22}", *(f"{n} {mb:7.2f} MB/s" for n, mb in speed.items()), sep="  ")


def encode(whole: str, rounds: int) -> None:
    middle = len(whole) // 2
    sample = whole[middle : middle + SAMPLE]
    print(f"{len(sample.encode()) / 1e6:.2f} MB, medians of {rounds} interleaved runs:")
    metadata = read_gguf(fetch("smollm2-135m-instruct")).metadata
    compare(
        "SmolLM2's BPE", lambda: tokenizer_from_gguf(metadata), smollm(metadata), sample, rounds
    )
    kinds = [
        ("bpe", "gpt2"),
        ("bpe", "cl100k"),
        ("bpe", "o200k"),
        ("wordpiece", ""),
        ("unigram", ""),
    ]
    for kind, pattern in kinds:
        options = {"pattern": pattern} if pattern else {}
        spec = train_tokenizer([whole[: 4 * SAMPLE]], kind, 8192, **options)  # type: ignore[arg-type]
        spec["normalizer"] = spec["normalizer"] if kind == "wordpiece" else None
        theirs = tokenizers.Tokenizer.from_str(json.dumps(spec))
        encoding = in_tiktoken(spec, pattern) if pattern else None
        compare(
            f"{kind} {pattern}", lambda: tokenizer_from_json(spec), theirs, sample, rounds, encoding  # noqa: B023
        )  # fmt: skip
    word = "a" * 100_000
    ours, rust = tokenizer_from_gguf(metadata), smollm(metadata)
    print(
        f"one word of 100,000 letters: groundup {seconds(lambda: ours.encode(word)):.3f} s, "
        f"tokenizers {seconds(lambda: rust.encode(word)):.3f} s"
    )


def train(whole: str, merges: int, rounds: int) -> None:
    blocks = [whole[i : i + BLOCK] for i in range(0, len(whole), BLOCK)]
    size = 257 + merges
    train_tokenizer(["compiles"], "bpe", 300)
    times: dict[str, list[float]] = {"groundup": [], "tokenizers": []}
    for _ in range(rounds):
        found: dict[str, Any] = {}
        times["groundup"].append(
            seconds(lambda: found.update(train_tokenizer(blocks, "bpe", size)))  # noqa: B023
        )
        built = tokenizers.Tokenizer(models.BPE())
        built.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERNS["cl100k"]), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        times["tokenizers"].append(
            seconds(lambda: built.train_from_iterator(blocks, trainer))  # noqa: B023
        )
        expected = json.loads(built.to_str())["model"]["merges"]
        same = found["model"]["merges"] == expected
        print(*(f"{name} {runs[-1]:.1f} s" for name, runs in times.items()), f"same merges: {same}")
    ratio = statistics.median(
        a / b for a, b in zip(times["groundup"], times["tokenizers"], strict=True)
    )
    print(f"{len(whole.encode()) / 1e6:.1f} MB, {merges:,} merges, one thread: ratio {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["encode", "train"])
    parser.add_argument("corpus", nargs="?", default=sysconfig.get_path("stdlib"), type=Path)
    parser.add_argument("--files", default="*.py")
    parser.add_argument("--merges", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100, help="at most")
    chosen = parser.parse_args()
    whole = text(chosen.corpus, chosen.files)[: chosen.megabytes * 1_000_000]
    if chosen.what == "encode":
        encode(whole, chosen.rounds)
    else:
        train(whole, chosen.merges, chosen.rounds)


if __name__ == "__main__":
    main()
