"""The reader of batches on a GPU against the plain model, and its kernels through the compiler."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.engine.cuda_llama import CudaLlama
from groundup.engine.engine import Engine
from groundup.engine.generate import generate
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.engine.scheduler import Chunk, Scheduler
from groundup.engine.sequence import Sequence
from groundup.engine.triton_dequantized_matmul import Int4Matrix, Int8Matrix
from groundup.models.linear import Linear
from groundup.models.llama import Llama, LlamaConfig

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with all options": {
        "qkv_bias": True, "output_bias": True, "qk_norm": True,
        "layers_without_rotary": frozenset({1}),
    },
}  # fmt: skip


def model_of(device: torch.device, **options: Any) -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocabulary=61, dim=32, hidden_dim=32, layers=2, heads=4, kv_heads=1, head_dim=8,
        context=96, **options,
    )  # fmt: skip
    model = Llama(config).requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter) + float(parameter.ndim == 1)
    return model.to(device)


def expected(model: Llama, batch: list[Chunk]) -> torch.Tensor:
    device = model.embed_tokens.weight.device
    rows = []
    for chunk in batch:
        seen = chunk.sequence.tokens[: chunk.sequence.read + chunk.count]
        with torch.inference_mode():
            rows.append(model(torch.tensor([seen], device=device))[0, -chunk.outputs :])
    return torch.cat(rows)


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_logits_equal_the_plain_models(device: torch.device, options: dict[str, Any]) -> None:
    """Under a scheduler: long and short batches, mixed, with room left, and shared blocks."""
    model = model_of(device, **options)
    reader = CudaLlama(model, 24, 4, graph_rows=4)
    scheduler = Scheduler(24, 4, token_budget=6, max_sequences=4)
    drawn = random.Random(1)
    beginning = [drawn.randrange(61) for _ in range(4)]
    lengths = [1, 4, 5]
    sizes = set()
    for step in range(6):
        if step % 2 == 0:
            own = [drawn.randrange(61) for _ in range(lengths.pop())]
            scheduler.add(Sequence([*beginning, *own], 4 + len(own), 90))
        batch = scheduler.schedule()
        logits = reader.read(batch)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected(model, batch), rtol=1e-4, atol=1e-4)
        sizes.add(sum(chunk.count for chunk in batch))
        for chunk in batch:
            scheduler.advance(chunk)
            if not chunk.sequence.unread:
                chunk.sequence.tokens.append(drawn.randrange(61))
    assert max(sizes) > 4  # without a graph
    assert 3 in sizes  # with one of 4 rows
    assert any(s.cached for s in scheduler.running)


def test_generation_of_two_at_a_time(device: torch.device) -> None:
    """Token for token, while rows come and go, and each that is left over is read in the spare."""
    model = model_of(device)
    prompts = [(5, 6, 7), (8,)]
    reader = CudaLlama(model, 8, 4, graph_rows=2)
    scheduler = Scheduler(8, 4, token_budget=8, max_sequences=2)
    sequences = [
        Sequence(list(p), len(p), len(p) + n) for p, n in zip(prompts, (2, 4), strict=True)
    ]
    for sequence in sequences:
        scheduler.add(sequence)
    while scheduler.running or scheduler.waiting:
        batch = scheduler.schedule()
        for chunk, row in zip(batch, reader.read(batch), strict=True):
            scheduler.advance(chunk)
            chunk.sequence.tokens.append(int(row.argmax()))
            if len(chunk.sequence.tokens) == chunk.sequence.last_length:
                scheduler.remove(chunk.sequence)
    for sequence, prompt in zip(sequences, prompts, strict=True):
        greedy = SamplingParams()
        new = sequence.last_length - sequence.prompt_length
        assert sequence.tokens[len(prompt) :] == list(
            generate(model, prompt, greedy, max_tokens=new)
        )


def test_rows_left_over_leave_the_blocks_alone(device: torch.device) -> None:
    reader = CudaLlama(model_of(device), 3, 4, graph_rows=4)
    sequence = Sequence([1, 2, 3], 3, 9, blocks=[1])
    reader.read([Chunk(sequence, 3)])  # three rows of a graph for four
    for store in (reader.keys, reader.values):
        written = store[:, :3].abs().sum((0, 2, 4)) > 0  # (blocks, block size)
        assert written.tolist() == [[False] * 4, [True, True, True, False], [False] * 4]


@pytest.mark.parametrize("graph_rows", [2, 6])
def test_as_many_outputs_as_a_chunk_wants(device: torch.device, graph_rows: int) -> None:
    model = model_of(device)
    texts = [[4, 9, 1], [7, 7]]
    batch = [
        Chunk(Sequence(text, len(text), 9, blocks=[block]), len(text), outputs=outputs)
        for text, block, outputs in zip(texts, (2, 0), (2, 1), strict=True)
    ]
    got = CudaLlama(model, 3, 4, graph_rows=graph_rows).read(batch)
    torch.testing.assert_close(got, expected(model, batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_weights(device: torch.device, bits: int) -> None:
    """The logits are those of the plain model with the weights that are meant."""
    model = model_of(device)
    reader = CudaLlama(model, 4, 4, graph_rows=2, weight_bits=bits)
    for layer in model.layers:
        for module in layer.modules():
            if isinstance(module, Linear):
                # The layout is proven elsewhere: a product with the identity is the weight.
                matrix = (Int8Matrix if bits == 8 else Int4Matrix).of(module.weight)
                module.weight.data = matrix(torch.eye(module.in_features, device=device)).T
    batch = [Chunk(Sequence([3, 1, 4, 1, 5], 5, 9, blocks=[2, 0]), 5)]
    torch.testing.assert_close(reader.read(batch), expected(model, batch), rtol=1e-4, atol=1e-4)


def test_joining_keeps_the_model(device: torch.device) -> None:
    """What the reader joins stays the model's, in the same memory."""
    model = model_of(device)
    ids = torch.tensor([[1, 2, 3]], device=device)
    before = model(ids)
    CudaLlama(model, 2, 4)
    torch.testing.assert_close(model(ids), before, rtol=0, atol=0)
    attention = model.get_submodule("layers.0.self_attn")
    assert isinstance(attention.q_proj, Linear)
    assert isinstance(attention.k_proj, Linear)
    end = attention.q_proj.weight.data_ptr() + attention.q_proj.weight.nbytes
    assert attention.k_proj.weight.data_ptr() == end


def test_other_weight_bits_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="8, 4 or None, got 3"):
        CudaLlama(model_of(device), 2, 4, weight_bits=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the engine reads so on a GPU only")
def test_the_engine_on_a_gpu(device: torch.device) -> None:
    model = model_of(device)
    engine = Engine(model, positions=256, max_sequences=3, token_budget=16)
    prompts = [tuple(range(1, 2 + 9 * key)) for key in range(5)]
    texts: dict[int, list[int]] = {key: [] for key in range(5)}
    for key, prompt in enumerate(prompts):
        engine.add(key, Request(prompt, max_tokens=10 + key))
    while engine.busy:
        for key, token in engine.step():
            texts[key].append(token.id)
    for key, prompt in enumerate(prompts):
        assert texts[key] == list(generate(model, prompt, SamplingParams(), max_tokens=10 + key))


WITHOUT_TRITON = """
import sys

sys.modules["triton"] = None
import groundup.serving.engine_worker
from groundup.engine.engine import _cuda_llama

_cuda_llama()
"""


def test_only_a_gpu_needs_triton() -> None:
    """Everything else can be imported without; what needs it says what to install."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRITON], capture_output=True, text=True, timeout=120
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("groundup.errors.GroundupError: on a GPU the engine needs triton")
    assert "pip install 'groundup[gpu]'" in last


# Takes Triton's whole way to a GPU's machine code, but for the start of the kernels.
COMPILE = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction


class Absent:
    def get_current_target(self):
        return GPUTarget("cuda", 80, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


run, memory = JITFunction.run, {}


def compile(self, *args, grid, warmup, **options):
    kernel = run(self, *args, grid=grid, warmup=True, **options)
    assert kernel.asm["cubin"]
    memory[self.__name__] = max(memory.get(self.__name__, 0), kernel.metadata.shared)


driver.set_active(Absent())
JITFunction.run = compile

from groundup.engine.cuda_llama import CudaLlama
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.models.llama import Llama, LlamaConfig

config = LlamaConfig(
    vocabulary=64, dim=192, hidden_dim=256, layers=1, heads=3, kv_heads=1, head_dim=128,
    context=1024, qkv_bias=True, qk_norm=True,
)
model = Llama(config).to(torch.bfloat16).requires_grad_(False)
for bits in (None, 8, 4):
    reader = CudaLlama(model, 64, 16, weight_bits=bits)
    for n in (1, 200):
        reader.read([Chunk(Sequence([1] * n, n, n + 1, blocks=list(range(20))), n)])
print(sorted(memory), max(memory.values()))
"""


def test_the_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """As they are called in the engine, in bfloat16, for Ampere, within its shared memory."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", COMPILE],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    names, memory = run.stdout.strip().rsplit(" ", 1)
    assert names == str([
        "add_rms_norm_kernel", "attend", "join", "multiply_int4", "multiply_int8",
        "rotate_and_store_kernel", "silu_multiply_kernel",
    ])  # fmt: skip
    assert int(memory) <= 99 * 1024  # of the smaller cards of that family
