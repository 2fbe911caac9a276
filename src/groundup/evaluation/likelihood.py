"""How likely a model finds given continuations of a text."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from groundup.engine.generate import new_cache, positions_before
from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["continuation_logprobs", "encode_continuation"]


@torch.inference_mode()
def continuation_logprobs(
    model: LanguageModel, context: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[float]:
    """The log-probability of each continuation: the sum over its tokens, in nats.

    The context is read once; its keys and values serve every continuation.

    Args:
        model: its dropout, if any, switched off (``eval()``).
        context: token ids, at least one.
        continuations: token ids, each at least one.

    Raises:
        GroundupError: the context or a continuation is empty, or they are longer than the model
            reads.
    """
    longest = max(map(len, continuations), default=0)
    if not context or not all(continuations):
        raise GroundupError("likelihoods need a context and continuations of at least one token")
    before = positions_before(model)
    if len(context) + longest - 1 > model.config.context - before:
        raise GroundupError(
            f"the text is {len(context) + longest:,} tokens long and the model reads at most "
            f"{model.config.context - before:,}: shorten it"
        )
    cache = new_cache(model)
    first = model.logits(model.hidden(_row(model, context), cache, outputs=1))[0]  # (1, vocabulary)
    found = []
    for continuation in continuations:
        logits = first
        if len(continuation) > 1:
            more = model.logits(model.hidden(_row(model, continuation[:-1]), cache))[0]
            logits = torch.cat((first, more))
            cache.truncate(before + len(context))
        targets = _row(model, continuation)[0]
        found.append(-F.cross_entropy(logits.float(), targets, reduction="sum").item())
    return found


def encode_continuation(
    tokenizer: Tokenizer, context: str, continuation: str
) -> tuple[list[int], list[int]]:
    """The ids of a text and of what follows it, as they are when both are written together.

    Spaces at the context's end belong to the continuation, with whose first word most tokenizers
    join them. An empty context becomes the id that begins a text.

    Source: Biderman et al. 2024, "Lessons from the trenches on reproducible evaluation of language
    models", appendix A.1.
    """
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    begun = tokenizer.encode(bare)
    ids = tokenizer.encode(bare + continuation)[len(begun) :]
    return begun or [tokenizer.bos_id or min(tokenizer.eos_ids)], ids


def _row(model: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    return torch.tensor([list(ids)], device=model.device)  # (1, T)
