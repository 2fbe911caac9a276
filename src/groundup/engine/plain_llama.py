"""Batches of many sequences through the readable model, one sequence after another."""

from collections.abc import Sequence as Rows
from contextlib import nullcontext

import torch
from torch import Tensor

from groundup.engine.lora_adapter import LoraAdapter
from groundup.engine.paged_cache import BlockView, PagedCache
from groundup.engine.scheduler import Chunk
from groundup.models.llama import Llama

__all__ = ["PlainLlama"]


class PlainLlama:
    """Reads a scheduler's batches with the model's own modules, on any device."""

    def __init__(self, model: Llama, cache: PagedCache) -> None:
        self._model, self._cache = model, cache
        self._adapters: dict[bytes, LoraAdapter] = {}  # by digest

    @torch.inference_mode()
    def place_adapter(self, adapter: LoraAdapter) -> None:
        """As `groundup.engine.fused_llama.FusedLlama.place_adapter`.

        Raises:
            GroundupError: a part that is swapped in does not let it be applied.
        """
        with adapter.applied_to(self._model):
            self._model.hidden(torch.tensor([[0]], device=self._model.embed_tokens.weight.device))
        self._adapters[adapter.digest] = adapter

    @torch.inference_mode()
    def read(self, batch: Rows[Chunk]) -> Tensor:
        """As `groundup.engine.fused_llama.FusedLlama.read`."""
        rows = []
        for chunk in batch:
            sequence = chunk.sequence
            view = BlockView(self._cache, sequence.blocks, sequence.read)
            ids = sequence.tokens[sequence.read : sequence.read + chunk.count]
            device = self._model.embed_tokens.weight.device
            adapter = self._adapters[sequence.root] if sequence.root else None
            with nullcontext() if adapter is None else adapter.applied_to(self._model):
                hidden = self._model.hidden(
                    torch.tensor([ids], device=device), view, outputs=chunk.outputs
                )
            rows.append(self._model.logits(hidden)[0].float())
        return torch.cat(rows)
