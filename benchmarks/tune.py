"""LoRA, QLoRA and full fine-tuning of the packaged model: what is gained, at which memory.

    python -m benchmarks.tune xquad_en.json OUT --methods lora --epochs 1
    python -m benchmarks.tune xquad_en.json OUT --methods qlora --epochs 0.2

The data is XQuAD's English part (SQuAD's format; Artetxe et al. 2019): paragraphs of Wikipedia,
questions, and answers that stand in the paragraph. Three quarters of the articles are learned, each
paragraph with all its questions as one chat; the questions of the others are asked one by one,
before and after. Each tuning is `groundup tune`, in a process of its own, so that its peak memory
is known. The folder OUT can be used again: what is done there is not done again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from groundup.evaluation.model_card import comparison_table
from groundup.evaluation.short_answers import short_answers
from groundup.evaluation.subject import load_subject
from groundup.evaluation.summary import compare
from groundup.evaluation.task import evaluate
from groundup.models.fetch import DEFAULT_MODEL
from groundup.training.run_log import read_log

SYSTEM = "Answer the question about the text with as few words of the text as you can."
HELD_OUT = 4  # every fourth article
ANSWER = 32  # tokens
OPTIONS = {
    "lora": ["--learning-rate", "1e-3"],
    "qlora": ["--learning-rate", "1e-3"],
    "full": [],
}


def turns(context: str, questions: list[tuple[str, str]]) -> list[dict[str, str]]:
    """A chat about a paragraph, which stands in its first question."""
    chat = [{"role": "system", "content": SYSTEM}]
    for number, (question, answer) in enumerate(questions):
        asked = question if number else f"{context}\n\n{question}"
        chat += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return chat


def write_data(xquad: Path, out: Path) -> tuple[Path, Path]:
    """The file to learn from, and the questions of other articles."""
    articles = json.loads(xquad.read_text("utf-8"))["data"]
    learned, asked = [], []
    for number, article in enumerate(articles):
        for paragraph in article["paragraphs"]:
            pairs = [(q["question"], q["answers"][0]["text"]) for q in paragraph["qas"]]
            if number % HELD_OUT:
                learned.append(turns(paragraph["context"], pairs))
            else:
                asked += [turns(paragraph["context"], [pair]) for pair in pairs]
    out.mkdir(parents=True, exist_ok=True)
    files = out / "learned.jsonl", out / "asked.jsonl"
    for file, rows in zip(files, (learned, asked), strict=True):
        file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows), "utf-8")
    return files


def tune(data: Path, method: str, out: Path, epochs: float) -> None:
    """Tune in a process of its own, and note its time and peak memory beside the result."""
    figures = out / "figures.json"
    if figures.exists():
        return
    command = [sys.executable, "-m", "groundup", "tune", str(data), "--method", method, "--out",
               str(out), "--context", "512", "--batch", "2", "--epochs", str(epochs),
               "--validation", "0.04", *OPTIONS[method]]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    scale = 1 if sys.platform == "darwin" else 1024
    found = {
        "seconds": time.perf_counter() - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * scale,
    }
    figures.write_text(json.dumps(found, indent=2))


def main() -> None:
    """Tune, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("xquad", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", nargs="+", default=["lora", "qlora", "full"])
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    if not options.xquad.is_file():
        sys.exit(f"there is no {options.xquad}: fetch XQuAD's xquad.en.json and name it")
    learned, asked = write_data(options.xquad, options.out)
    task = short_answers(asked, limit=options.questions, max_tokens=ANSWER)
    base, _ = evaluate(load_subject(DEFAULT_MODEL), task, options.out / "answers")
    for method in options.methods:
        out = options.out / method
        tune(learned, method, out, options.epochs)
        full = method == "full"
        tuned = load_subject(str(out) if full else DEFAULT_MODEL, adapter=None if full else out)
        records, _ = evaluate(tuned, task, options.out / "answers")
        print(f"\n{method}: {(out / 'figures.json').read_text()}")
        log = read_log(out)
        print(f"{len(log)} steps, {sum(line['seconds'] for line in log[-1:]):.0f} s in steps")
        print(comparison_table(compare(task, base, records), "before", method))


if __name__ == "__main__":
    main()
