"""The memory that `groundup tune` says it takes, and what it took, by method.

    python benchmarks/tuning_memory.py [--model smollm2-135m-instruct] [--context 512]

The data are chats of random words, of different lengths up to the context. Each tuning is the
command, in a process of its own: its peak resident set, with Python, torch, loading, evaluations
and samples in it, stands beside its own estimate.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SUPERVISED = ("full", "lora", "dora", "qlora", "prefix")
PREFERENCES = ("dpo", "reward", "grpo")
WORDS = [
    "sun",
    "moon",
    "tree",
    "river",
    "stone",
    "bird",
    "cloud",
    "road",
    "house",
    "light",
    "song",
    "field",
    "night",
    "door",
    "glass",
]


def write_data(folder: Path, rows: int, context: int) -> dict[str, Path]:
    """A file for each kind of method."""
    drawn = random.Random(0)

    def text(tokens: int) -> str:
        return " ".join(drawn.choice(WORDS) for _ in range(tokens))

    chats, pairs, sums = [], [], []
    for _ in range(rows):
        asked, said = drawn.randrange(20, context // 2), drawn.randrange(10, context // 4)
        chats.append({"instruction": text(asked), "output": text(said)})
        pairs.append({"prompt": text(asked), "chosen": text(said), "rejected": text(said // 2)})
        a, b = drawn.randrange(10, 100), drawn.randrange(10, 100)
        sums.append({"question": f"{text(20)}: what is {a} + {b}?", "answer": str(a + b)})
    files = {}
    for name, found in (("chats", chats), ("pairs", pairs), ("sums", sums)):
        files[name] = folder / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return files


def measure(command: list[str]) -> tuple[float, float]:
    """The peak that the command said, and the one that it had, in GB."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0)
        text = said.read()
    found = re.search(r"memory: about\s+([\d.]+)\s+GB", text)
    if status or found is None:
        sys.exit(f"{' '.join(command)} failed:\n{text}")
    scale = 1 if sys.platform == "darwin" else 1024
    return float(found[1]), usage.ru_maxrss * scale / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--methods", nargs="+", default=[*SUPERVISED, *PREFERENCES])
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--rows", type=int, default=24)
    arguments = parser.parse_args()
    full = None
    with tempfile.TemporaryDirectory() as name:
        files = write_data(Path(name), arguments.rows, arguments.context)
        for method in arguments.methods:
            kind = {"grpo": "sums", "dpo": "pairs", "reward": "pairs"}.get(method, "chats")
            command = [
                sys.executable, "-m", "groundup", "tune", str(files[kind]), "--method", method,
                "--model", arguments.model, "--context", str(arguments.context), "--batch", "2",
                "--epochs", "1", "--answer-tokens", "16", "--out", str(Path(name, method)),
            ]  # fmt: skip
            said, had = measure(command)
            full = had if method == "full" else full
            share = f", {had / full:.0%} of full fine-tuning" if full else ""
            print(f"{method}: said {said:.1f} GB, had {had:.2f} GB ({said / had:.2f}){share}",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
