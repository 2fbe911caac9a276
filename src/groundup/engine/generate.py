"""The decoding loop: from a prompt's token ids, one new id at a time."""

from collections.abc import Collection, Iterator, Sequence

import torch

from groundup.engine.kv_cache import KVCache
from groundup.engine.sampler import Sampler
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel

__all__ = [
    "generate",
    "generate_uncached",
    "new_cache",
    "positions_before",
    "room_for_answer",
]

# A long prompt is read in pieces, so that Ctrl-C is answered within one and memory stays bounded.
PREFILL_CHUNK = 512


def new_cache(model: LanguageModel, batch: int = 1) -> KVCache:
    """An empty cache for sequences of this model, up to the length of its context."""
    config = model.config
    return KVCache(
        config.layers,
        config.kv_heads,
        config.head_dim,
        limit=config.context,
        batch=batch,
        dtype=model.dtype,
        device=model.device,
    )


def positions_before(model: LanguageModel) -> int:
    """How many positions of an empty cache a model takes for itself, before those of a text.

    An adapted model has as many as its prefix or prompt; they count against the context.
    """
    return getattr(model, "virtual_tokens", 0)


def room_for_answer(prompt_tokens: int, context: int) -> int:
    """How many tokens a model of this context can add to a prompt.

    Raises:
        GroundupError: the prompt is empty, or leaves no room for a token.
    """
    if not prompt_tokens:
        raise GroundupError("the prompt is empty: expected at least one token")
    if prompt_tokens >= context:
        raise GroundupError(
            f"the prompt is {prompt_tokens:,} tokens long and the model reads at most "
            f"{context - 1:,}: shorten it"
        )
    return context - prompt_tokens


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    params: SamplingParams,
    *,
    stop_ids: Collection[int] = (),
    max_tokens: int | None = None,
    cache: KVCache | None = None,
) -> Iterator[int]:
    """Yield new token ids until a stop id (not yielded), ``max_tokens`` or the context's end.

    Args:
        model: in the dtype and on the device to compute with.
        prompt: token ids, at least one.
        params: how tokens are chosen.
        stop_ids: ids that end the answer.
        max_tokens: at most so many new tokens; None is as many as the context has room for.
        cache: holds the keys and values of the first ``cache.length`` ids of the prompt (less
            `positions_before`), less than all of it; None starts an empty one. It is left holding
            what the model has read: the prompt and all yielded ids but the last.

    Raises:
        GroundupError: the prompt is empty, or leaves no room for a token in the context.
    """
    before = positions_before(model)
    room = room_for_answer(len(prompt), model.config.context - before)
    cache = new_cache(model) if cache is None else cache
    read = max(0, cache.length - before)
    if read >= len(prompt):
        raise ValueError(f"the cache holds {read} tokens of a prompt of {len(prompt)}")
    sampler = Sampler(params)
    device = model.device

    ids = torch.tensor(prompt, device=device)
    for start in range(read, len(prompt), PREFILL_CHUNK):
        hidden = model.hidden(ids[None, start : start + PREFILL_CHUNK], cache, outputs=1)
    for produced in range(room if max_tokens is None else min(room, max_tokens)):
        if produced:
            hidden = model.hidden(ids[None, -1:], cache)
        chosen = sampler(model.logits(hidden)[0, 0], ids)
        if chosen in stop_ids:
            return
        yield chosen
        ids = torch.cat((ids, torch.tensor([chosen], device=device)))


@torch.inference_mode()
def generate_uncached(
    model: LanguageModel, prompt: Sequence[int], params: SamplingParams, max_tokens: int
) -> list[int]:
    """As `generate`, reading all of the text again for each token: plain, slow, the oracle."""
    sampler = Sampler(params)
    ids = torch.tensor(prompt, device=model.device)
    for _ in range(max_tokens):
        chosen = sampler(model(ids[None])[0, -1], ids)
        ids = torch.cat((ids, torch.tensor([chosen], device=ids.device)))
    return ids[len(prompt) :].tolist()
