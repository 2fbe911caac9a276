"""A text from a text: an encoder-decoder reads its source once and writes by beam search."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.engine.beam_search import Hypothesis, beam_search
from groundup.engine.kv_cache import KVCache
from groundup.errors import GroundupError
from groundup.models.encoder_decoder import EncoderDecoder

__all__ = ["generate_target"]


@torch.inference_mode()
def generate_target(
    model: EncoderDecoder,
    source: Sequence[int],
    *,
    beams: int = 1,
    max_tokens: int | None = None,
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """The target texts that the search finds, the best first.

    The source's keys and values are computed once; those of the target are kept in a cache whose
    rows follow the search.

    Args:
        model: in the dtype and on the device to compute with.
        source: token ids, at least one.
        beams: how many texts are sought side by side; 1 always takes the likeliest token.
        max_tokens: at most so many tokens of target; None is as many as the context has room for.
        length_penalty: as `beam_search` takes it.

    Raises:
        GroundupError: the source is empty or longer than the model reads.
        ValueError: beams or max_tokens is not positive.
    """
    config, device = model.config, model.device
    if not 0 < len(source) <= config.context:
        raise GroundupError(
            f"a source has 1 to {config.context:,} tokens for this model, got {len(source):,}"
        )
    room = config.context - 1  # the first position is the start token's
    limit = room if max_tokens is None else min(room, max_tokens)
    cache = KVCache(
        config.layers,
        config.kv_heads,
        config.head_dim,
        limit=config.context,
        batch=beams,
        dtype=model.dtype,
        device=device,
    )
    remembered = model.remember(model.encode(torch.tensor([list(source)], device=device)))
    memory = [(k.expand(beams, -1, -1, -1), v.expand(beams, -1, -1, -1)) for k, v in remembered]

    def step(tokens: Tensor, parents: Tensor) -> Tensor:
        cache.select(parents.to(device))
        hidden = model.decode(tokens[:, None].to(device), memory, cache=cache)
        return torch.log_softmax(model.logits(hidden)[:, -1].float(), dim=-1)

    return beam_search(
        step,
        start_id=config.start_id,
        eos_id=config.eos_id,
        beams=beams,
        max_tokens=limit,
        length_penalty=length_penalty,
    )
