"""Drafts from a smaller model, which reads what the large one reads."""

from collections.abc import Sequence as Rows

import torch
from torch import Tensor

from groundup.engine.fused_llama import FusedLlama
from groundup.engine.paged_cache import PagedCache
from groundup.engine.plain_llama import PlainLlama
from groundup.engine.sampler import Sampler
from groundup.engine.sampling import draw
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.engine.speculation import Draft
from groundup.errors import GroundupError
from groundup.models.llama import Llama, LlamaConfig

__all__ = ["DraftModel"]


class DraftModel:
    """A model with the vocabulary of the target that drafts token after token.

    Its keys and values lie in a cache of its own, under the target's blocks: whatever the target
    reads of a sequence, it reads too, so a block that is shared, found again or given up is so for
    both, and a rejected token's place is written anew by both.

    Greedy requests get its most likely token. The others get draws from its distribution, under
    the request's own parameters, and the distribution with it.
    """

    def __init__(
        self, model: Llama, target: LlamaConfig, blocks: int, block_size: int, *, fused: bool = True
    ) -> None:
        """Make one beside a target whose cache has ``blocks`` of ``block_size`` positions.

        Raises:
            GroundupError: the vocabularies differ in size, or its context is the shorter one.
        """
        config = model.config
        if config.vocabulary != target.vocabulary:
            raise GroundupError(
                f"the draft model has a vocabulary of {config.vocabulary:,} tokens, and the model "
                f"{target.vocabulary:,}: drafts need a model of the same family"
            )
        if config.context < target.context:
            raise GroundupError(
                f"the draft model reads {config.context:,} tokens, and the model "
                f"{target.context:,}: it could not follow"
            )
        weight = model.embed_tokens.weight
        fused = fused and weight.device.type == "cpu"
        dtype = weight.dtype if fused else model.dtype
        cache = PagedCache(config, blocks, block_size, dtype, weight.device)
        self._reader = (FusedLlama if fused else PlainLlama)(model, cache)

    def draft(
        self, batch: Rows[Chunk], most: Rows[int], samplers: Rows[Sampler | None]
    ) -> list[Draft | None]:
        """Read a batch that the target is about to read, and draft behind its chunks.

        Args:
            batch: each sequence's blocks have room for the chunk and its draft.
            most: how many tokens to draft behind each chunk; 0 where it does not end its sequence.
            samplers: of each chunk's request, whose draws take numbers from them. None takes the
                highest score.

        Returns:
            For each chunk that many tokens, each of which has been read; None for 0.
        """
        views = [
            Sequence(s.tokens, s.prompt_length, s.last_length, blocks=s.blocks, read=s.read)
            for s in (chunk.sequence for chunk in batch)
        ]
        logits = self._reader.read(
            [Chunk(view, chunk.count) for view, chunk in zip(views, batch, strict=True)]
        )
        rows = list(logits)
        drafted: list[list[int]] = [[] for _ in batch]
        scores: list[list[Tensor]] = [[] for _ in batch]
        for place in range(max(most)):
            turn = [i for i, n in enumerate(most) if n > place]
            for i in turn:
                token, row = choose(samplers[i], rows[i], views[i].tokens)
                drafted[i].append(token)
                scores[i].append(row)
                views[i].read = len(views[i].tokens)
                views[i].tokens.append(token)  # the target's own list, until all are drafted
            for i, row in zip(
                turn, self._reader.read([Chunk(views[i], 1) for i in turn]), strict=True
            ):
                rows[i] = row
        drafts: list[Draft | None] = []
        for view, tokens, drawn_from, sampler in zip(views, drafted, scores, samplers, strict=True):
            if tokens:
                del view.tokens[-len(tokens) :]
                certain = sampler is None or sampler.params.temperature == 0
                drafts.append(Draft(tokens, None if certain else torch.stack(drawn_from)))
            else:
                drafts.append(None)
        return drafts

    def forget(self, sequence: Sequence) -> None:
        """Nothing is kept of a sequence but its blocks."""


def choose(sampler: Sampler | None, logits: Tensor, tokens: list[int]) -> tuple[int, Tensor]:
    """The next token, and the scores that it was chosen by."""
    if sampler is None:
        return int(logits.argmax()), logits
    previous = tokens if sampler.params.penalises else []
    ids = torch.tensor(previous, dtype=torch.int64, device=logits.device)
    scores = sampler.scores(logits, ids)
    if sampler.params.temperature == 0:
        return int(scores.argmax()), scores
    return draw(scores, sampler.generator), scores
