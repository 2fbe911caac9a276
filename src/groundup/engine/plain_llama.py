"""Batches of many sequences through the readable model, one sequence after another."""

from collections.abc import Sequence as Rows

import torch
from torch import Tensor

from groundup.engine.paged_cache import BlockView, PagedCache
from groundup.engine.scheduler import Chunk
from groundup.models.llama import Llama

__all__ = ["PlainLlama"]


class PlainLlama:
    """Reads a scheduler's batches with the model's own modules, on any device."""

    def __init__(self, model: Llama, cache: PagedCache) -> None:
        self._model, self._cache = model, cache

    @torch.inference_mode()
    def read(self, batch: Rows[Chunk]) -> Tensor:
        """As `groundup.engine.fused_llama.FusedLlama.read`."""
        rows = []
        for chunk in batch:
            sequence = chunk.sequence
            view = BlockView(self._cache, sequence.blocks, sequence.read)
            ids = sequence.tokens[sequence.read : sequence.read + chunk.count]
            device = self._model.embed_tokens.weight.device
            hidden = self._model.hidden(
                torch.tensor([ids], device=device), view, outputs=chunk.outputs
            )
            rows.append(self._model.logits(hidden)[0].float())
        return torch.cat(rows)
