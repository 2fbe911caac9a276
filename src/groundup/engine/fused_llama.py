"""Llama for batches of many sequences on a CPU: packed matrices, and one loop between products."""

from collections.abc import Sequence as Rows
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine import cpu_kernels
from groundup.engine.paged_cache import PagedCache
from groundup.engine.scheduler import Chunk
from groundup.models.attention import attention
from groundup.models.linear import Linear
from groundup.models.llama import Block, Llama
from groundup.models.rotary import rotary_table

__all__ = ["FusedLlama"]

# A chunk of so many tokens of one sequence is attended to as matrices, after gathering its keys.
LONG_CHUNK = 48


class Matrix:
    """``x @ weight.T`` for many rows, in bfloat16 over weights in the processor's own order."""

    def __init__(self, weight: Tensor) -> None:
        self._packed = weight.dtype == torch.bfloat16 and torch.backends.mkldnn.is_available()
        # Private, but what torch.compile emits for a frozen layer; there is no public way.
        self._weight = (
            torch.ops.mkldnn._reorder_linear_weight(weight, 32) if self._packed else weight
        )

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")
            return y
        return F.linear(x, self._weight)


class FusedLlama:
    """Reads a scheduler's batches with a model's weights. Its output is that of the model.

    The plain model (`groundup.models.llama`) is the oracle: in float32 the same to rounding.
    """

    def __init__(self, model: Llama, cache: PagedCache) -> None:
        """Pack the weights of ``model``, which is on the CPU in float32 or bfloat16."""
        config = model.config
        self.config, self.cache, self.model = config, cache, model
        self.dtype = model.embed_tokens.weight.dtype
        positions = torch.arange(config.context)
        assert isinstance(model.frequencies, Tensor)
        cos, sin = rotary_table(positions, model.frequencies.float())
        self._cos, self._sin = cos.numpy(), sin.numpy()
        self._layers = [
            _Layer(block, layer, config.layers_without_rotary)
            for layer, block in enumerate(cast("list[Block]", list(model.layers)))
        ]
        self._norm = model.norm.weight.detach().float().numpy()
        self._head = Matrix(model.lm_head.weight.detach())

    @torch.inference_mode()
    def read(self, batch: Rows[Chunk]) -> Tensor:
        """Read a batch; its keys and values go to the cache.

        Returns:
            The logits (outputs, vocabulary) of each chunk's last ``outputs`` tokens, chunk after
            chunk, float32.
        """
        config, cache = self.config, self.cache
        size = cache.block_size
        tables = np.zeros((len(batch), max(len(c.sequence.blocks) for c in batch)), np.int64)
        tokens: list[int] = []
        positions: list[int] = []
        long: list[tuple[int, Chunk]] = []  # first row
        for index, chunk in enumerate(batch):
            sequence, start = chunk.sequence, chunk.sequence.read
            tables[index, : len(sequence.blocks)] = sequence.blocks
            if chunk.count >= LONG_CHUNK:
                long.append((len(tokens), chunk))
            tokens += sequence.tokens[start : start + chunk.count]
            positions += range(start, start + chunk.count)
        counts = np.array([chunk.count for chunk in batch])
        ends = np.cumsum(counts)
        last = np.concatenate(
            [np.arange(end - chunk.outputs, end) for end, chunk in zip(ends, batch, strict=True)]
        )
        place = np.array(positions)
        chunk_of = np.repeat(np.arange(len(batch)), counts)
        slot = tables[chunk_of, place // size] * size + place % size
        owner = np.where(counts[chunk_of] >= LONG_CHUNK, -1, chunk_of)
        gathered = [
            (row, chunk, cache.slots(chunk.sequence.blocks, 0, chunk.sequence.read + chunk.count))
            for row, chunk in long
        ]

        N, H, D = len(tokens), config.heads, config.head_dim
        # The residual stream is float32, as in the plain model.
        x = self.model.embed_tokens(torch.tensor(tokens)).float().numpy()
        q = np.empty((N, H, D), np.float32)
        normalised, attended = self._empty(N, config.dim), self._empty(N, H * D)
        gated = self._empty(N, config.hidden_dim)
        delta: NDArray[np.generic] | None = None
        for index, layer in enumerate(self._layers):
            keys, values = cache.keys[index], cache.values[index]
            flat_keys, flat_values = keys.flatten(0, 1), values.flatten(0, 1)
            cpu_kernels.add_rms_norm(
                x, delta, layer.attention_norm, config.norm_eps, self._array(normalised)
            )
            qkv = layer.qkv(normalised)
            cos, sin = (self._cos, self._sin) if layer.rotary else (None, None)
            cpu_kernels.rotate_and_store(
                self._array(qkv), layer.bias, layer.q_norm, layer.k_norm, config.norm_eps, cos, sin,
                place, slot, flat_keys.numpy(), flat_values.numpy(), q,
            )  # fmt: skip
            if len(long) < len(batch):
                cpu_kernels.paged_attention(
                    q, keys.numpy(), values.numpy(), tables, owner, place, self._array(attended)
                )
            for row, chunk, seen in gathered:
                queries = (
                    torch.from_numpy(q[row : row + chunk.count]).transpose(0, 1)[None] * D**0.5
                )
                k, v = (rows[seen].transpose(0, 1)[None] for rows in (flat_keys, flat_values))
                out = attention(queries, k, v)[0].transpose(0, 1)
                attended[row : row + chunk.count] = out.reshape(chunk.count, -1)
            projected = layer.output(attended)
            if layer.output_bias is not None:
                projected += layer.output_bias
            if index == len(self._layers) - 1:  # only the last rows' output is wanted from here on
                x, projected = x[last], projected[torch.from_numpy(last)]
                normalised, gated = (
                    self._empty(len(last), config.dim),
                    self._empty(len(last), config.hidden_dim),
                )
            cpu_kernels.add_rms_norm(
                x,
                self._array(projected),
                layer.feed_forward_norm,
                config.norm_eps,
                self._array(normalised),
            )
            cpu_kernels.silu_multiply(self._array(layer.gate_up(normalised)), self._array(gated))
            delta = self._array(layer.down(gated))
        hidden = np.empty_like(x)
        cpu_kernels.add_rms_norm(x, delta, self._norm, config.norm_eps, hidden)
        logits = self._head(torch.from_numpy(hidden).to(self.dtype)).float()
        if self.dtype == torch.bfloat16:
            # Rounded, the best tokens would often tie: theirs are computed again, in float32.
            head = self.model.lm_head.weight.detach().view(torch.uint16).numpy()
            cpu_kernels.sharpen_highest(logits.numpy(), hidden, head)
        return logits

    def _empty(self, rows: int, columns: int) -> Tensor:
        return torch.empty((rows, columns), dtype=self.dtype)

    def _array(self, x: Tensor) -> NDArray[np.generic]:
        array: NDArray[np.generic] = (
            x.view(torch.uint16) if x.dtype == torch.bfloat16 else x
        ).numpy()
        return array


class _Layer:
    """One block's weights, joined where they are applied to the same input."""

    def __init__(self, block: Block, layer: int, without_rotary: frozenset[int]) -> None:
        def joined(*parts: Linear) -> Matrix:
            return Matrix(torch.cat([part.weight.detach() for part in parts]))

        def floats(tensor: Tensor | None) -> NDArray[np.float32] | None:
            return None if tensor is None else tensor.detach().float().numpy()

        a, mlp = block.self_attn, block.mlp
        self.rotary = layer not in without_rotary
        self.attention_norm = floats(block.input_layernorm.weight)
        self.feed_forward_norm = floats(block.post_attention_layernorm.weight)
        self.qkv = joined(a.q_proj, a.k_proj, a.v_proj)
        biases: list[Tensor] = [part.bias for part in (a.q_proj, a.k_proj, a.v_proj)]
        self.bias = None if biases[0] is None else floats(torch.cat(biases))
        self.q_norm = None if a.q_norm is None else floats(a.q_norm.weight)
        self.k_norm = None if a.k_norm is None else floats(a.k_norm.weight)
        self.output = joined(a.o_proj)
        self.output_bias = None if a.o_proj.bias is None else a.o_proj.bias.detach()
        self.gate_up = joined(mlp.gate_proj, mlp.up_proj)
        self.down = joined(mlp.down_proj)
