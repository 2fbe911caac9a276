"""What the GPU path of the engine reaches: each kernel, and generation, with and without graphs.

Needs a GPU that PyTorch can use; says so where there is none. Each kernel's result is compared with
torch's before it is timed. The roofline is the time that the bytes take which must be read, at the
speed of a plain copy on this GPU.

    pip install 'groundup[gpu]'
    python benchmarks/gpu.py [--model smollm2-135m-instruct]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from triton.testing import do_bench

from groundup.engine.cuda_llama import CudaLlama
from groundup.engine.engine import Engine
from groundup.engine.paged_cache import PagedCache
from groundup.engine.plain_llama import PlainLlama
from groundup.engine.request import Request
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.engine.triton_dequantized_matmul import Int4Matrix, Int8Matrix, Nf4Matrix
from groundup.engine.triton_paged_attention import paged_attention, splits_to_fill
from groundup.models.llama import Llama
from groundup.models.load import load_model
from groundup.quantization.nf4 import Nf4

DTYPE = torch.bfloat16
BLOCK_SIZE = 16


def microseconds(run: Callable[[], object]) -> float:
    """Of the GPU, the median; what the GPU keeps near its processors is cleared before each."""
    return 1000 * float(do_bench(run, return_mode="median"))


def copy_speed() -> float:
    """Bytes read or written in a microsecond."""
    source = torch.empty(1 << 29, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / microseconds(lambda: target.copy_(source))


def compare(got: Tensor, expected: Tensor) -> None:
    error = (got.float() - expected.float()).abs().max() / expected.float().abs().max()
    assert error < 0.03, f"the result is off by {error:.3f} of the largest value"


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, device="cuda", dtype=DTYPE)


def ints(values: range | list[int]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.int32, device="cuda")


def attention(speed: float) -> None:
    print("\n| attention, 32 / 8 heads of 128 | ours | torch's, contiguous | roofline |")
    print("|---|---|---|---|")
    for rows, length in [(1, 1024), (1, 16384), (16, 1024), (64, 1024), (64, 4096)]:
        attention_of_rows(rows, length, speed)
    attention_of_a_chunk(2048)


def attention_of_rows(rows: int, length: int, speed: float) -> None:
    """One row of each sequence, as in generation, over blocks in random order."""
    k, v = normal(rows, 8, length, 128), normal(rows, 8, length, 128)
    q = normal(rows, 32, 128)
    width = length // BLOCK_SIZE
    order = torch.randperm(rows * width, device="cuda")
    keys, values = (
        x.unflatten(2, (width, BLOCK_SIZE)).transpose(1, 2).flatten(0, 1)[order].contiguous()
        for x in (k, v)
    )
    tables = order.argsort().view(rows, width).int()
    each, starts, positions = ints(range(rows)), ints(range(rows + 1)), ints([length - 1] * rows)
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    splits = splits_to_fill(rows * 8, processors)

    def ours() -> Tensor:
        return paged_attention(
            q, keys, values, tables, each, positions, starts, most_rows=1, splits=splits
        )

    def theirs() -> Tensor:
        return F.scaled_dot_product_attention(q[:, :, None], k, v, enable_gqa=True)

    compare(ours(), theirs().flatten(1))
    times = [microseconds(ours), microseconds(theirs), 2 * k.nbytes / speed]
    print(f"| {rows} x {length:,} keys, {splits} splits "
          f"| {' | '.join(f'{t:.1f} µs' for t in times)} |", flush=True)  # fmt: skip


def attention_of_a_chunk(T: int) -> None:
    """T rows of one sequence, as where a prompt is read."""
    q, k, v = normal(1, 32, T, 128), normal(1, 8, T, 128), normal(1, 8, T, 128)
    keys, values = (
        x[0].unflatten(1, (T // BLOCK_SIZE, BLOCK_SIZE)).transpose(0, 1).contiguous()
        for x in (k, v)
    )
    table, sequence_of, positions = (
        ints(range(T // BLOCK_SIZE))[None],
        ints([0] * T),
        ints(range(T)),
    )
    starts, rows = ints(range(0, T + 1, 16)), q[0].transpose(0, 1).contiguous()

    def ours() -> Tensor:
        return paged_attention(
            rows, keys, values, table, sequence_of, positions, starts, most_rows=16
        )

    def theirs() -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    compare(ours(), theirs()[0].transpose(0, 1).flatten(1))
    print(f"| a chunk of {T:,} | {microseconds(ours):.1f} µs | {microseconds(theirs):.1f} µs | |")


def products(speed: float, M: int = 14336, K: int = 4096) -> None:
    weight = normal(M, K)
    int8, int4 = Int8Matrix.of(weight), Int4Matrix.of(weight)
    nf4 = Nf4Matrix.of(Nf4.of(weight.cpu()), "cuda")
    sizes = [weight.nbytes, int8.q.nbytes, int4.q.nbytes + 2 * int4.scale.nbytes]
    sizes.append(nf4.packed.nbytes + nf4.scale.nbytes)
    rooflines = ", ".join(f"{size / speed:.1f}" for size in sizes)
    print(f"\n| x (N, {K}) by ({M}, {K}) | bfloat16, torch | 8 bits | 4 bits | NF4 |")
    print("|---|---|---|---|---|")
    identity = torch.eye(K, device="cuda", dtype=DTYPE)
    plain: Callable[[Tensor], Tensor] = partial(F.linear, weight=weight)
    for N in (1, 16, 64, 512):
        x = normal(N, K)
        times = [microseconds(partial(plain, x))]
        for matrix in (int8, int4, nf4):
            compare(matrix(x), F.linear(x, matrix(identity).T))
            times.append(microseconds(partial(matrix, x)))
        print(f"| N = {N} | {' | '.join(f'{t:.1f} µs' for t in times)} |", flush=True)
    print(f"| rooflines of the weight | {rooflines.replace(', ', ' µs | ')} µs |")


def steps(model: Llama, speed: float, length: int = 512) -> None:
    """Steps of generation: reading one token of each sequence, and choosing greedily."""
    weights = sum(p.nbytes for p in model.layers.parameters()) + model.lm_head.weight.nbytes
    print(f"\n| a step of sequences of about {length} tokens | steps/s | tokens/s |")
    print("|---|---|---|")
    for count in (1, 16, 64):
        blocks = count * -(-(length + 64) // BLOCK_SIZE)
        ours = partial(CudaLlama, model, blocks, BLOCK_SIZE)
        readers: dict[str, Callable[[], CudaLlama | PlainLlama]] = {
            "graphs": ours,
            "no graphs": partial(ours, graphs=False),
            "graphs, 8 bits": partial(ours, weight_bits=8),
            "graphs, 4 bits": partial(ours, weight_bits=4),
            "plain model": partial(
                PlainLlama, model, PagedCache(model.config, blocks, BLOCK_SIZE, DTYPE, "cuda")
            ),
        }
        for name, make in readers.items():
            seconds = step_of(make(), count, blocks // count, length)
            print(f"| {count}, {name} | {1 / seconds:.0f} | {count / seconds:.0f} |", flush=True)
        fastest = 1e6 * speed / weights
        print(f"| {count}, roofline of {model.dtype} weights | {fastest:.0f} "
              f"| {count * fastest:.0f} |")  # fmt: skip


def step_of(reader: CudaLlama | PlainLlama, count: int, blocks: int, length: int) -> float:
    """Seconds, the median of 50 steps of ``count`` sequences with so many blocks each."""
    sequences = [
        Sequence([1] * length, length, 2 * length, blocks=[*range(i * blocks, (i + 1) * blocks)])
        for i in range(count)
    ]
    for sequence in sequences:
        reader.read([Chunk(sequence, length)])
        sequence.read = length
    times = []
    for _ in range(50):
        for sequence in sequences:
            sequence.tokens.append(2)
        start = time.perf_counter()
        reader.read([Chunk(sequence, 1) for sequence in sequences]).argmax(1).tolist()
        times.append(time.perf_counter() - start)
        for sequence in sequences:
            sequence.read += 1
    return statistics.median(times)


def engine(model: Llama) -> None:
    """Whole requests: scheduler, reading, choosing; 128 tokens in, 128 out, greedy."""
    print("\n| requests at a time, 128 tokens in and 128 out | tokens/s | by the plain model |")
    print("|---|---|---|")
    for count in (1, 64):
        rates = [tokens_per_second(Engine(model, fused=fused), count) for fused in (True, False)]
        print(f"| {count} | {rates[0]:.0f} | {rates[1]:.0f} |", flush=True)


def tokens_per_second(engine: Engine, count: int) -> float:
    for turn in range(2):  # the first one warms up
        for key in range(count):
            first = 200 * turn + key + 1  # no two begin alike
            engine.add(key, Request(tuple(range(first, first + 128)), max_tokens=128))
        start, tokens = time.perf_counter(), 0
        while engine.busy:
            tokens += len(engine.step())
        rate = tokens / (time.perf_counter() - start)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU here: there is nothing to measure.")
    torch.manual_seed(0)
    speed = copy_speed()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: memory is copied at "
          f"{speed / 1e3:.0f} GB/s")  # fmt: skip
    attention(speed)
    products(speed)
    model = load_model(arguments.model, DTYPE).model
    steps(model, speed)
    engine(model)


if __name__ == "__main__":
    main()
