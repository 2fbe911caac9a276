"""Llama for batches of many sequences on a CPU: packed matrices, and one loop between products."""

from collections.abc import Sequence
from itertools import chain
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine import cpu_kernels
from groundup.engine.lora_adapter import LoraAdapter
from groundup.engine.packed_matrix import Form, PackedMatrix, Rows
from groundup.engine.paged_cache import PagedCache
from groundup.engine.scheduler import Chunk
from groundup.engine.segmented_lora import SegmentedLora
from groundup.engine.single_row import LayerWeights, read_single_row
from groundup.models.attention import attention
from groundup.models.huge_pages import in_huge_pages
from groundup.models.linear import Linear
from groundup.models.llama import Block, Llama
from groundup.models.rotary import rotary_table
from groundup.models.swiglu import SwiGLU

__all__ = ["FusedLlama", "WeightBits"]

# A chunk of so many tokens of one sequence is attended to as matrices, after gathering its keys.
LONG_CHUNK = 48
WeightBits = Literal[4, 8]


class FusedLlama:
    """Reads a scheduler's batches with a model's weights. Its output is that of the model.

    The plain model (`groundup.models.llama`) is the oracle: in float32 the same to rounding.
    """

    def __init__(
        self, model: Llama, cache: PagedCache, *, weight_bits: WeightBits | None = None
    ) -> None:
        """Pack the weights of ``model``, which is on the CPU in float32 or bfloat16.

        ``weight_bits`` rounds the matrices to 8 or 4 bits (see `PackedMatrix`); the output's to 8
        in both cases, as files of 4 bits have it. The model's own weights become views of the
        joined ones, of the same values.
        """
        config = model.config
        self.config, self.cache, self.model = config, cache, model
        self._stores = [cache.layer(layer) for layer in range(config.layers)]
        wide = model.embed_tokens.weight.dtype == torch.float32
        form: Form = "float32" if wide else "bfloat16"
        if weight_bits is not None:
            form = "int8" if weight_bits == 8 else "int4"
        self._form = form
        positions = torch.arange(config.context)
        assert isinstance(model.frequencies, Tensor)
        cos, sin = rotary_table(positions, model.frequencies.float())
        self._cos, self._sin = cos.numpy(), sin.numpy()
        self._layers = [
            _Layer(block, form, layer not in config.layers_without_rotary)
            for layer, block in enumerate(cast("list[Block]", list(model.layers)))
        ]
        self._norm = model.norm.weight.detach().float().numpy()
        head: Form = form if weight_bits is None else "int8"
        self._head = PackedMatrix(model.lm_head.weight.detach(), head, exact=True)
        self._adapters = SegmentedLora(model)

    def place_adapter(self, adapter: LoraAdapter) -> None:
        """Let sequences be read whose ``root`` is this adapter's digest."""
        self._adapters.place(adapter)

    @torch.inference_mode()
    def read(self, batch: Sequence[Chunk]) -> Tensor:
        """Read a batch; its keys and values go to the cache.

        Returns:
            The logits (outputs, vocabulary) of each chunk's last ``outputs`` tokens, chunk after
            chunk, float32.
        """
        if len(batch) == 1 and batch[0].count == 1 and not batch[0].sequence.root:
            return self._read_single_row(batch[0])
        config, cache = self.config, self.cache
        size = cache.block_size
        sequences = [chunk.sequence for chunk in batch]
        counts = np.array([chunk.count for chunk in batch])
        outputs = np.array([chunk.outputs for chunk in batch])
        blocks = np.array([len(sequence.blocks) for sequence in sequences])
        tables = np.zeros((len(batch), blocks.max()), np.int64)
        tables[np.arange(blocks.max()) < blocks[:, None]] = list(
            chain.from_iterable(sequence.blocks for sequence in sequences)
        )
        tokens = list(
            chain.from_iterable(
                chunk.sequence.tokens[chunk.sequence.read : chunk.sequence.read + chunk.count]
                for chunk in batch
            )
        )
        chunk_of = np.repeat(np.arange(len(batch)), counts)
        first = np.cumsum(counts) - counts  # row of each chunk
        read = np.array([sequence.read for sequence in sequences])
        place = np.arange(len(tokens)) + (read - first)[chunk_of]
        skipped = np.cumsum(counts - outputs)  # rows without an output, up to a chunk's outputs
        last = np.arange(outputs.sum()) + np.repeat(skipped, outputs)
        long = np.flatnonzero(counts >= LONG_CHUNK)
        slot = tables[chunk_of, place // size] * size + place % size
        owner = np.where(counts[chunk_of] >= LONG_CHUNK, -1, chunk_of)
        roots = [sequence.root for sequence in sequences]
        lora = self._adapters.segments(roots, chunk_of)
        gathered = [
            (int(first[i]), batch[i], cache.slots(sequences[i].blocks, 0, read[i] + counts[i]))
            for i in long.tolist()
        ]

        N, H, D, eps = len(tokens), config.heads, config.head_dim, config.norm_eps
        # The residual stream is float32, as in the plain model.
        x = self.model.embed_tokens(torch.tensor(tokens)).float().numpy()
        q = np.empty((N, H, D), np.float32)
        delta: Rows | None = None
        for index, layer in enumerate(self._layers):
            keys, values = self._stores[index]
            cos, sin = (self._cos, self._sin) if layer.rotary else (None, None)
            flat_keys, flat_values = (
                store.reshape(-1, *store.shape[2:]) for store in (keys, values)
            )
            normalised = layer.qkv.empty(N)
            add_rms_norm(x, delta, None, layer.attention_norm, eps, normalised)
            qkv = layer.qkv(normalised)
            lora.add(index, "qkv", normalised, qkv)
            cpu_kernels.rotate_and_store(
                qkv.array, qkv.scales, layer.bias, layer.q_norm, layer.k_norm, eps, cos, sin,
                place, slot, flat_keys, flat_values, q,
            )  # fmt: skip
            if index == len(self._layers) - 1:  # only the last rows' output is wanted from here on
                x, q, place, owner = x[last], q[last], place[last], chunk_of[last]
                gathered = []
                lora = self._adapters.segments(roots, owner)
            attended = layer.output.empty(len(q))
            if len(gathered) < len(batch):
                cpu_kernels.paged_attention(
                    q, keys, values, tables, owner, place, attended.array, attended.scales
                )
            for row, chunk, seen in gathered:
                stop = row + chunk.count
                queries = torch.from_numpy(q[row:stop]).transpose(0, 1)[None] * D**0.5
                k, v = (rows.transpose(0, 1)[None] for rows in cache.gather(index, seen))
                out = attention(queries, k, v)[0].transpose(0, 1).reshape(chunk.count, -1)
                scales = None if attended.scales is None else attended.scales[row:stop]
                cpu_kernels.store_rows(out.numpy(), attended.array[row:stop], scales)
            projected = layer.output(attended)
            lora.add(index, "output", attended, projected)
            normalised = layer.gate_up.empty(len(x))
            add_rms_norm(x, projected, layer.output_bias, layer.feed_forward_norm, eps, normalised)
            gate_up = layer.gate_up(normalised)
            lora.add(index, "gate_up", normalised, gate_up)
            gated = layer.down.empty(len(x))
            cpu_kernels.silu_multiply(gate_up.array, gate_up.scales, gated.array, gated.scales)
            delta = layer.down(gated)
            lora.add(index, "down", gated, delta)
        if self._form == "bfloat16" and len(x) > 1:
            return self._sharpened_logits(x, delta)
        return self._logits(x, delta)

    def _read_single_row(self, chunk: Chunk) -> Tensor:
        """As `read`, of a single token without an adapter: little more than a call for a layer."""
        sequence, size = chunk.sequence, self.cache.block_size
        place = sequence.read
        position = np.array([place])
        slot = np.array([sequence.blocks[place // size] * size + place % size])
        table = np.array([sequence.blocks])
        embedding = self.model.embed_tokens.weight[sequence.tokens[place], None]
        x = embedding.float().numpy().copy()  # it is added to
        q = np.empty((1, self.config.heads, self.config.head_dim), np.float32)
        delta, scales = None, None
        for layer, store in zip(self._layers, self._stores, strict=True):
            cos, sin = (self._cos, self._sin) if layer.rotary else (None, None)
            delta, scales = read_single_row(
                x, delta, scales, layer.weights, self.config.norm_eps, cos, sin, position, slot,
                *store, table, q,
            )  # fmt: skip
        return self._logits(x, Rows(torch.from_numpy(delta), scales))

    def _logits(self, x: NDArray[np.float32], delta: Rows | None) -> Tensor:
        hidden = self._head.empty(len(x))
        add_rms_norm(x, delta, None, self._norm, self.config.norm_eps, hidden)
        logits = self._head(hidden)
        if logits.scales is not None:
            cpu_kernels.scale_rows(logits.array, logits.scales)
        return logits.tensor

    def _sharpened_logits(self, x: NDArray[np.float32], delta: Rows | None) -> Tensor:
        """Logits, the highest in float32: rounded to bfloat16, the best would often tie."""
        hidden = Rows(torch.empty(x.shape))
        add_rms_norm(x, delta, None, self._norm, self.config.norm_eps, hidden)
        narrow = self._head.empty(len(x))
        cpu_kernels.store_rows(hidden.array, narrow.array, narrow.scales)
        logits = self._head(narrow).tensor.float()
        head = self.model.lm_head.weight.detach().view(torch.uint16).numpy()
        cpu_kernels.sharpen_highest(logits.numpy(), hidden.array, head)
        return logits


def add_rms_norm(
    x: NDArray[np.float32],
    delta: Rows | None,
    bias: NDArray[np.float32] | None,
    weight: NDArray[np.float32],
    eps: float,
    out: Rows,
) -> None:
    """`cpu_kernels.add_rms_norm` of a product, or of none."""
    given = (None, None) if delta is None else (delta.array, delta.scales)
    cpu_kernels.add_rms_norm(x, *given, bias, weight, eps, out.array, out.scales)


class _Layer:
    """One block's weights, joined where they are applied to the same input."""

    def __init__(self, block: Block, form: Form, rotary: bool) -> None:
        a, mlp = block.self_attn, cast("SwiGLU", block.mlp)
        self.rotary = rotary
        self.attention_norm = floats(block.input_layernorm.weight)
        self.feed_forward_norm = floats(block.post_attention_layernorm.weight)
        self.qkv = joined(form, a.q_proj, a.k_proj, a.v_proj)
        biases: list[Tensor] = [part.bias for part in (a.q_proj, a.k_proj, a.v_proj)]
        self.bias = None if biases[0] is None else floats(torch.cat(biases))
        self.q_norm = None if a.q_norm is None else floats(a.q_norm.weight)
        self.k_norm = None if a.k_norm is None else floats(a.k_norm.weight)
        self.output = joined(form, a.o_proj, exact=True)
        self.output_bias = None if a.o_proj.bias is None else floats(a.o_proj.bias)
        self.gate_up = joined(form, mlp.gate_proj, mlp.up_proj)
        self.down = joined(form, mlp.down_proj, exact=True)
        self.weights = LayerWeights(
            self.attention_norm, self.qkv.stored, self.bias, self.q_norm, self.k_norm,
            self.output.stored, self.output_bias, self.feed_forward_norm, self.gate_up.stored,
            self.down.stored,
        )  # fmt: skip


def floats(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().numpy()
    return array


def joined(form: Form, *parts: Linear, exact: bool = False) -> PackedMatrix:
    """One matrix of several with the same input. Their own weights become views of it.

    ``exact`` where the product goes into the residual stream.
    """
    weight = in_huge_pages(torch.cat([part.weight.detach() for part in parts]))
    for part, view in zip(parts, weight.split([part.out_features for part in parts]), strict=True):
        part.weight.data = view
    return PackedMatrix(weight, form, exact=exact)
