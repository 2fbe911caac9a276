"""Llama for batches of many sequences on a GPU: Triton kernels, and CUDA graphs for generation."""

from collections.abc import Callable
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine.lora_adapter import LoraAdapter
from groundup.engine.scheduler import Chunk
from groundup.engine.triton_dequantized_matmul import Int4Matrix, Int8Matrix
from groundup.engine.triton_kernels import add_rms_norm, rotate_and_store, silu_multiply
from groundup.engine.triton_paged_attention import paged_attention, splits_to_fill
from groundup.errors import GroundupError
from groundup.models.linear import Linear
from groundup.models.llama import Block, Llama
from groundup.models.rotary import rotary_table
from groundup.models.swiglu import SwiGLU

__all__ = ["CudaLlama"]

QUERIES = 64  # of one key head that a program has in a long batch


@dataclass(frozen=True)
class _Batch:
    """N rows, as the kernels take them; see `paged_attention`."""

    tokens: Tensor  # (N,)
    positions: Tensor  # (N,)
    sequence_of: Tensor  # (N,)
    tables: Tensor  # (sequences, most blocks)
    starts: Tensor  # (tiles + 1,)
    most_rows: int
    splits: int


class CudaLlama:
    """Reads a scheduler's batches with a model's weights, over a paged cache of its own.

    In generation a GPU does each kernel in less time than Python needs to start it. So the kernels
    of a batch of n rows are recorded once as a CUDA graph, for some n, and started as one. A graph
    reads its rows from the same memory each time. Where a batch has fewer rows than a graph, the
    others read token 0 and write to a block that no sequence has. Larger batches, which keep a GPU
    busy for longer, are started kernel by kernel.

    The plain model (`groundup.models.llama`) is the oracle: in float32 the same to rounding. On a
    CPU, in Triton's interpreter, the same is run without graphs, slowly, which the tests do.
    """

    def __init__(
        self, model: Llama, blocks: int, block_size: int, *,
        graph_rows: int = 64, weight_bits: int | None = None, graphs: bool = True,
    ) -> None:  # fmt: skip
        """Take up a model and make a cache of ``blocks`` blocks.

        Args:
            model: on the device to compute on. Matrices that are applied to the same input are
                joined, and the model's own become views of them.
            blocks, block_size: those of the scheduler.
            graph_rows: the most rows that are read with a graph.
            weight_bits: 8 or 4 quantises the matrices of the layers (not the embeddings, nor the
                output's); None leaves them as they are.
            graphs: False starts all batches kernel by kernel.

        Raises:
            ValueError: weight_bits is another number.
        """
        if weight_bits not in (None, 8, 4):
            raise ValueError(f"weight_bits must be 8, 4 or None, got {weight_bits}")
        config, weight = model.config, model.embed_tokens.weight
        self.config, self.model = config, model
        self.dtype, self._device = weight.dtype, weight.device
        shape = (config.layers, blocks + 1, config.kv_heads, block_size, config.head_dim)
        self.keys = torch.zeros(shape, dtype=self.dtype, device=self._device)
        self.values = torch.zeros_like(self.keys)
        self._graph_rows = graph_rows
        self._spare = blocks  # the last block's number: of rows that nobody asked for
        self._block_size = block_size
        assert isinstance(model.frequencies, Tensor)
        places = torch.arange(config.context, device=self._device)
        self._turn = rotary_table(places, model.frequencies.float())
        self._layers = [
            _Layer(block, layer not in config.layers_without_rotary, weight_bits)
            for layer, block in enumerate(cast("list[Block]", list(model.layers)))
        ]
        self._norm = model.norm.weight.detach().float()
        on_gpu = self._device.type == "cuda"
        self._processors = 4
        if on_gpu:
            properties = torch.cuda.get_device_properties(self._device)
            self._processors = properties.multi_processor_count
        # What graphs read: for each row its token, its position, and which table is its own. The
        # tables behind those of the batch's sequences belong to the rows that nobody asked for.
        most_blocks = min(blocks, -(-config.context // block_size))
        ints = partial(torch.zeros, dtype=torch.int32, device=self._device)
        self._rows = ints((3, graph_rows))
        self._tables = ints((graph_rows + 1, most_blocks)).fill_(self._spare)
        self._starts = torch.arange(graph_rows + 1, dtype=torch.int32, device=self._device)
        sizes = {graph_rows, *(n for n in (1, 2, 4, 8) if n < graph_rows)}
        self._sizes = sorted(sizes | set(range(16, graph_rows, 16)))
        self._graphs: dict[int, Callable[[], Tensor]] = {}
        if graphs and on_gpu:
            pool = torch.cuda.graph_pool_handle()
            for n in reversed(self._sizes):  # the largest first: the others fit in its memory
                self._graphs[n] = _Graph(partial(self._forward, self._static(n)), pool)
        if on_gpu:
            self._compile_for_long(min(graph_rows + 1, config.context))

    def place_adapter(self, _adapter: LoraAdapter) -> None:
        """Not possible yet.

        Raises:
            GroundupError: always, with what to do.
        """
        raise GroundupError(
            "adapters cannot be used by the GPU's fused reader: make the engine with fused=False"
        )

    @torch.inference_mode()
    def read(self, batch: Rows[Chunk]) -> Tensor:
        """Read a batch; its keys and values go to the cache.

        Returns:
            The logits (outputs, vocabulary) of each chunk's last ``outputs`` tokens, chunk after
            chunk, float32.
        """
        counts = np.array([chunk.count for chunk in batch])
        tokens = np.concatenate([
            chunk.sequence.tokens[chunk.sequence.read : chunk.sequence.read + chunk.count]
            for chunk in batch
        ])  # fmt: skip
        ends = np.cumsum(counts)
        sequence_of = np.repeat(np.arange(len(batch)), counts)
        reads = np.array([chunk.sequence.read for chunk in batch])
        positions = np.arange(len(tokens)) + (reads + counts - ends)[sequence_of]
        rows = np.stack([tokens, positions, sequence_of])  # (3, N)
        tables = np.full(
            (len(batch) + 1, max(len(chunk.sequence.blocks) for chunk in batch)), self._spare
        )
        for table, chunk in zip(tables, batch, strict=False):  # the last one stays spare
            table[: len(chunk.sequence.blocks)] = chunk.sequence.blocks
        last = np.concatenate(
            [np.arange(end - chunk.outputs, end) for end, chunk in zip(ends, batch, strict=True)]
        )
        wanted = torch.from_numpy(last).to(self._device)
        if len(tokens) > self._graph_rows:
            return self._forward(self._long(rows, tables, counts), wanted)
        n = next(size for size in self._sizes if size >= len(tokens))
        padded = np.zeros((3, n), np.int64)
        padded[:, : len(tokens)] = rows
        padded[2, len(tokens) :] = len(batch)
        self._rows[:, :n].copy_(torch.from_numpy(padded))
        self._tables[: len(tables), : tables.shape[1]].copy_(torch.from_numpy(tables))
        graph = self._graphs.get(n)
        logits = self._forward(self._static(n)) if graph is None else graph()
        return logits[wanted]

    def _static(self, n: int) -> _Batch:
        """The first n rows of what graphs read; each row is attended to for itself."""
        tokens, positions, sequence_of = self._rows[:, :n]
        return _Batch(
            tokens, positions, sequence_of, self._tables, self._starts[: n + 1],
            most_rows=1, splits=splits_to_fill(n * self.config.kv_heads, self._processors),
        )  # fmt: skip

    def _long(
        self, rows: NDArray[np.int64], tables: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> _Batch:
        """A batch of any size, each chunk in tiles of as many rows as a program takes."""
        most_rows = max(1, QUERIES * self.config.kv_heads // self.config.heads)
        starts = [0]
        for count in counts.tolist():
            first = starts[-1]
            starts += range(first + most_rows, first + count, most_rows)
            starts.append(first + count)
        # Each in memory of its own, as kernels are compiled anew for how their inputs are aligned.
        tokens, positions, sequence_of = (self._ints(row) for row in rows)
        return _Batch(
            tokens, positions, sequence_of, self._ints(tables), self._ints(np.array(starts)),
            most_rows, splits=1,
        )  # fmt: skip

    @torch.inference_mode()
    def _compile_for_long(self, N: int) -> None:
        """Read N rows into the spare block, so that no request waits for a compiler."""
        place = np.arange(N)
        tables = np.full((1, -(-N // self._block_size)), self._spare)
        batch = self._long(np.stack([0 * place, place, 0 * place]), tables, np.array([N]))
        self._forward(batch, torch.tensor([N - 1], device=self._device))

    def _ints(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self._device, torch.int32)

    def _forward(self, batch: _Batch, wanted: Tensor | None = None) -> Tensor:
        """The logits of all rows, or of those whose numbers are ``wanted``, float32."""
        eps, dtype = self.config.norm_eps, self.dtype
        place = (batch.tables, batch.sequence_of, batch.positions)
        # The residual stream is float32, as in the plain model on a CPU.
        x = F.embedding(batch.tokens, self.model.embed_tokens.weight).float()
        delta: Tensor | None = None
        for layer, keys, values in zip(self._layers, self.keys, self.values, strict=True):
            normalised = add_rms_norm(x, delta, layer.attention_norm, eps, dtype)
            q = rotate_and_store(
                layer.qkv(normalised), layer.bias, layer.norms, eps,
                self._turn if layer.rotary else None, *place, keys, values,
            )  # fmt: skip
            attended = paged_attention(
                q, keys, values, *place, batch.starts,
                most_rows=batch.most_rows, splits=batch.splits,
            )  # fmt: skip
            projected = layer.output(attended)
            if layer.output_bias is not None:
                projected += layer.output_bias
            normalised = add_rms_norm(x, projected, layer.feed_forward_norm, eps, dtype)
            delta = layer.down(silu_multiply(layer.gate_up(normalised)))
        if wanted is not None:
            x, delta = x[wanted], None if delta is None else delta[wanted]
        hidden = add_rms_norm(x, delta, self._norm, eps, dtype)
        head = self.model.lm_head.weight
        if head.is_cuda and dtype != torch.float32:
            # Rounded to 8 bits, the best tokens would often tie.
            return torch.mm(hidden, head.T, out_dtype=torch.float32)
        return F.linear(hidden, head).float()


class _Graph:
    """What a function starts on the GPU, recorded; its result is the same memory each time."""

    def __init__(self, run: Callable[[], Tensor], pool: Any) -> None:
        with torch.inference_mode():
            run()  # compiles kernels and makes handles, neither of which can be recorded
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool):
                self._result = run()

    def __call__(self) -> Tensor:
        self._graph.replay()
        return self._result


class _Layer:
    """One block's weights, joined where they are applied to the same input."""

    def __init__(self, block: Block, rotary: bool, weight_bits: int | None) -> None:
        a, mlp = block.self_attn, cast("SwiGLU", block.mlp)

        def matrix(*parts: Linear) -> Callable[[Tensor], Tensor]:
            weight = _joined(parts)
            if weight_bits == 8:
                return Int8Matrix.of(weight)
            if weight_bits == 4:
                return Int4Matrix.of(weight)
            return partial(F.linear, weight=weight)

        self.rotary = rotary
        self.attention_norm = block.input_layernorm.weight.detach().float()
        self.feed_forward_norm = block.post_attention_layernorm.weight.detach().float()
        self.qkv = matrix(a.q_proj, a.k_proj, a.v_proj)
        biases: list[Tensor] = [part.bias for part in (a.q_proj, a.k_proj, a.v_proj)]
        self.bias = None if biases[0] is None else torch.cat(biases).detach().float()
        self.norms: Tensor | None = None
        if a.q_norm is not None and a.k_norm is not None:
            self.norms = torch.stack((a.q_norm.weight, a.k_norm.weight)).detach().float()
        self.output = matrix(a.o_proj)
        self.output_bias = None if a.o_proj.bias is None else a.o_proj.bias.detach()
        self.gate_up = matrix(mlp.gate_proj, mlp.up_proj)
        self.down = matrix(mlp.down_proj)


def _joined(parts: tuple[Linear, ...]) -> Tensor:
    """One weight of several, which become views of it: nothing is kept twice."""
    if len(parts) == 1:
        return parts[0].weight.detach()
    weight = torch.cat([part.weight.detach() for part in parts])
    for part, view in zip(parts, weight.split([len(p.weight) for p in parts]), strict=True):
        part.weight.data = view
    return weight
