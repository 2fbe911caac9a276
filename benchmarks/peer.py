"""One contestant of `engine_peers`: answers lists of prompts, and says how long that took.

Runs under the interpreter that has the peer's package, and imports nothing of ours unless the peer
is ours. Reads orders from stdin, one JSON object a line (`{"prompts": [[1, 2], ...], "new": 16}`),
and writes one for each: `{"seconds": 0.5, "processor": 1.0, "tokens": 32, "first": [3, ...]}`, with
the first prompt's answer.

    python -P benchmarks/peer.py ctranslate2 FOLDER '{"dtype": "float32", "threads": 2}'
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Ids = list[list[int]]
engine: Any = None  # ours, in a process of its pool


def padded(prompts: Ids) -> tuple[Ids, Ids]:
    """Ids of one length, filled at the left with id 2, and which of their places are read."""
    longest = max(map(len, prompts))
    missing = [longest - len(prompt) for prompt in prompts]
    return (
        [[2] * n + prompt for n, prompt in zip(missing, prompts, strict=True)],
        [[0] * n + [1] * (longest - n) for n in missing],
    )


class Groundup:
    """Our engine.

    Settings: dtype, bits (of the weights; None: dtype's), workers x threads, batch (sequences at a
    time), budget.
    """

    def __init__(
        self, folder: Path, dtype: str, bits: int | None, threads: int, batch: int, budget: int,
        workers: int = 1,
    ) -> None:  # fmt: skip
        self.workers = workers
        # As `groundup serve` starts its engines.
        os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        spawn = multiprocessing.get_context("spawn")
        cores = spawn.Queue()
        for core in sorted(os.sched_getaffinity(0)) * workers:
            cores.put(core)
        arguments = folder, dtype, bits, threads, batch, budget, cores if workers > 1 else None
        self.pool = ProcessPoolExecutor(workers, spawn, start_groundup, arguments)
        self.answer([[1, 2, 3]] * workers, 2)  # all are there, and compiled

    def answer(self, prompts: Ids, new: int) -> Ids:
        shares = [prompts[i :: self.workers] for i in range(self.workers)]
        answers: Ids = [[] for _ in prompts]
        for i, share in enumerate(self.pool.map(answer_groundup, shares, [new] * self.workers)):
            answers[i :: self.workers] = share
        return answers


def start_groundup(
    folder: Path, dtype: str, bits: Any, threads: int, batch: int, budget: int, cores: Any
) -> None:
    """In a process of the pool: make its engine, on a core of its own."""
    global engine
    import torch
    from numba import set_num_threads

    from groundup.engine.engine import Engine
    from groundup.models.load import load_model

    if cores is not None:
        os.sched_setaffinity(0, {cores.get()})
    torch.set_num_threads(threads)
    set_num_threads(threads)
    model = load_model(str(folder), getattr(torch, dtype)).model
    positions = max(4096, batch * 192)
    engine = Engine(
        model, weight_bits=bits, positions=positions, token_budget=budget, max_sequences=batch
    )


def answer_groundup(prompts: Ids, new: int) -> Ids:
    from groundup.engine.request import Request

    for key, prompt in enumerate(prompts):
        engine.add(key, Request(tuple(prompt), max_tokens=new))
    answers: Ids = [[] for _ in prompts]
    while engine.busy:
        for key, token in engine.step():
            answers[key].append(token.id)
    return answers


class Vllm:
    """Settings: dtype, threads, batch (max_num_seqs), budget (max_num_batched_tokens), eager."""

    def __init__(
        self, folder: Path, dtype: str, threads: int, batch: int, budget: int, eager: bool = False
    ) -> None:
        os.environ |= {
            "VLLM_CPU_KVCACHE_SPACE": "2",  # GB
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "INFO",
            "HF_HUB_OFFLINE": "1",
        }
        from vllm import LLM

        self.llm = LLM(
            str(folder), dtype=dtype, max_num_seqs=batch, max_num_batched_tokens=budget,
            max_model_len=512, enforce_eager=eager, skip_tokenizer_init=True,
            enable_prefix_caching=False, seed=0,
        )  # fmt: skip

    def answer(self, prompts: Ids, new: int) -> Ids:
        from vllm import SamplingParams

        params = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True, detokenize=False)
        answers = self.llm.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False
        )
        return [list(answer.outputs[0].token_ids) for answer in answers]


class CTranslate2:
    """Settings: dtype (its compute type), workers x threads, batch (max_batch_size)."""

    def __init__(
        self, folder: Path, dtype: str, threads: int, batch: int, workers: int = 1
    ) -> None:
        import ctranslate2

        converted = folder.with_name(f"{folder.name}-ctranslate2-{dtype}")
        if not converted.exists():
            ctranslate2.converters.TransformersConverter(str(folder)).convert(
                str(converted), quantization=dtype
            )
        self.batch = batch
        self.words: list[str] = json.loads((converted / "vocabulary.json").read_text("utf-8"))
        self.generator = ctranslate2.Generator(
            str(converted), compute_type=dtype, inter_threads=workers, intra_threads=threads
        )

    def answer(self, prompts: Ids, new: int) -> Ids:
        answers = self.generator.generate_batch(
            [[self.words[i] for i in prompt] for prompt in prompts],
            max_batch_size=self.batch, max_length=new, min_length=new, sampling_topk=1,
            include_prompt_in_result=False,
        )  # fmt: skip
        return [answer.sequences_ids[0] for answer in answers]


class Transformers:
    """Settings: dtype, threads, batch (how many prompts `generate` gets at a time)."""

    def __init__(self, folder: Path, dtype: str, threads: int, batch: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self.batch = batch
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))

    def answer(self, prompts: Ids, new: int) -> Ids:
        import torch

        found: Ids = []
        for start in range(0, len(prompts), self.batch):
            ids, mask = map(torch.tensor, padded(prompts[start : start + self.batch]))
            with torch.inference_mode():
                answers = self.model.generate(
                    ids, attention_mask=mask, do_sample=False, max_new_tokens=new,
                    min_new_tokens=new, eos_token_id=None, pad_token_id=2,
                )  # fmt: skip
            found += answers[:, ids.shape[1] :].tolist()
        return found


class OpenVino:
    """Settings: dtype of the weights and of the arithmetic, threads, batch, budget."""

    def __init__(
        self, folder: Path, weights: str, dtype: str, threads: int, batch: int, budget: int
    ) -> None:
        import openvino_genai

        converted = folder.with_name(f"{folder.name}-openvino-{weights}")
        if not converted.exists():
            subprocess.run(
                [Path(sys.executable).with_name("optimum-cli"), "export", "openvino", "--model",
                 folder, "--task", "text-generation-with-past", "--weight-format", weights,
                 converted],
                check=True, stdout=sys.stderr,
            )  # fmt: skip
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = batch
        scheduler.max_num_batched_tokens = budget
        scheduler.dynamic_split_fuse = True
        scheduler.cache_size = 2  # GB
        properties = {"INFERENCE_PRECISION_HINT": dtype, "INFERENCE_NUM_THREADS": threads}
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(converted), scheduler, "CPU", properties
        )

    def answer(self, prompts: Ids, new: int) -> Ids:
        import numpy as np
        import openvino
        import openvino_genai

        config = openvino_genai.GenerationConfig(
            max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False
        )
        ids = [openvino.Tensor(np.array([prompt], np.int64)) for prompt in prompts]
        answers = self.pipeline.generate(ids, [config] * len(ids))
        return [answer.m_generation_ids[0] for answer in answers]


class OnnxRuntime:
    """Settings: dtype (fp32, int4), threads, batch (how many prompts a generator gets)."""

    def __init__(self, folder: Path, dtype: str, threads: int, batch: int) -> None:
        import onnxruntime_genai

        converted = folder.with_name(f"{folder.name}-onnxruntime-{dtype}")
        if not converted.exists():
            subprocess.run(
                [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", folder,
                 "-o", converted, "-p", dtype, "-e", "cpu", "-c", converted / "cache"],
                check=True, stdout=sys.stderr,
            )  # fmt: skip
        config = onnxruntime_genai.Config(str(converted))
        config.overlay(
            json.dumps({"model": {"decoder": {
                "session_options": {"intra_op_num_threads": threads}}}})
        )  # fmt: skip
        self.model = onnxruntime_genai.Model(config)
        self.batch = min(batch, 32)  # it takes no more

    def answer(self, prompts: Ids, new: int) -> Ids:
        import numpy as np
        import onnxruntime_genai

        found: Ids = []
        for start in range(0, len(prompts), self.batch):
            ids = np.array(padded(prompts[start : start + self.batch])[0], np.int32)
            params = onnxruntime_genai.GeneratorParams(self.model)
            length = ids.shape[1] + new
            params.set_search_options(
                batch_size=len(ids), max_length=length, min_length=length, do_sample=False
            )
            generator = onnxruntime_genai.Generator(self.model, params)
            generator.append_tokens(ids)
            while not generator.is_done():
                generator.generate_next_token()
            found += [generator.get_sequence(i)[ids.shape[1] :].tolist() for i in range(len(ids))]
        return found


PEERS: dict[str, type] = {
    "groundup": Groundup,
    "vllm": Vllm,
    "ctranslate2": CTranslate2,
    "transformers": Transformers,
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
}


def processor_seconds() -> float:
    """Of this process and those it started, all of which share its session. Linux only."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(fields[3]) == os.getsid(0):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    # Libraries write to stdout what they like: it goes to stderr, and the answers to a copy.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, folder, settings = sys.argv[1:]
    peer: Any = PEERS[name](Path(folder), **json.loads(settings))
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        order = json.loads(line)
        before, start = processor_seconds(), time.perf_counter()
        found = peer.answer(order["prompts"], order["new"])
        seconds = time.perf_counter() - start
        used = processor_seconds() - before
        answer = {"seconds": seconds, "processor": used, "tokens": sum(map(len, found))}
        print(json.dumps(answer | {"first": found[0]}), file=answers)


if __name__ == "__main__":
    main()
