"""Perplexity of a text that is longer than the context, by a sliding window."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.engine.generate import positions_before
from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel

__all__ = ["Perplexity", "perplexity", "windows"]

ROWS = 256  # whose logits are computed at once: a vocabulary of 50,000 makes 50 MB of them


@dataclass(frozen=True)
class Perplexity:
    """What the tokens of a text cost the model."""

    nats: float  # the sum of the negative log-likelihoods
    tokens: int  # those that were predicted: all but the first

    @property
    def loss(self) -> float:
        """The mean, in nats a token."""
        return self.nats / self.tokens

    @property
    def value(self) -> float:
        """The perplexity: e to the mean loss."""
        return math.exp(self.loss) if self.loss < 700 else math.inf  # e^710 is past any float

    def bits_per_byte(self, size: int) -> float:
        """What a byte of the text costs, of ``size`` in UTF-8: comparable between tokenizers."""
        return self.nats / math.log(2) / size


def windows(tokens: int, context: int, stride: int) -> list[tuple[int, int, int]]:
    """Cut a text into windows that predict each of its tokens but the first exactly once.

    A window reads ids[start:end], at most ``context`` of them, and predicts ids[start + 1:end + 1],
    of which the last ``new`` count: the others counted in the window before. Windows begin
    ``stride`` apart, so that a counted token has at least ``context`` - ``stride`` + 1 tokens
    before it, those near the text's beginning excepted. The last window ends with the text.

    Args:
        tokens: N, of the text; at least 2.
        context: the most that the model reads at once.
        stride: from one window's beginning to the next one's, 1 to ``context``. As large as the
            context, windows share nothing: quick, and the tokens at their beginnings cost more
            than they should. Smaller is slower and nearer to the model's true perplexity.

    Returns:
        (start, end, new) of each window, in order; their ``new`` add up to N - 1.

    Raises:
        GroundupError: fewer than 2 tokens, or a stride that is not of 1 to ``context``.

    Source: Press et al. 2020, "Shortformer", section 2.1 (nonoverlapping and sliding window).
    """
    if tokens < 2:
        raise GroundupError(f"perplexity needs a text of at least 2 tokens, got {tokens}")
    if not 1 <= stride <= context:
        raise GroundupError(f"the stride is {stride}, expected 1 to the context, {context}")
    found, counted = [], 0
    for start in range(0, tokens, stride):
        end = min(start + context, tokens - 1)
        found.append((start, end, end - counted))
        counted = end
        if end == tokens - 1:
            break
    return found


@torch.inference_mode()
def perplexity(
    model: LanguageModel,
    ids: Sequence[int] | Tensor,
    *,
    context: int,
    stride: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Perplexity:
    """How well a model predicts a text, read through the `windows` of context and stride.

    Args:
        model: its dropout, if any, switched off (``eval()``).
        ids: (N,) token ids of the text, at least 2. The first one is only read.
        context, stride: as `windows` takes them; no more than the model's own context.
        report: is told after each window how many tokens are counted, and of how many.

    Returns:
        The sum over the N - 1 tokens that were predicted, and their number.

    Raises:
        GroundupError: as `windows`; the model reads less than ``context`` at once; or its loss is
            not a number.
    """
    room = model.config.context - positions_before(model)
    if context > room:
        raise GroundupError(
            f"the window is {context:,} tokens long and the model reads at most "
            f"{room:,}: choose a shorter one"
        )
    text = torch.as_tensor(ids, dtype=torch.int64, device=model.device)
    nats, counted = 0.0, 0
    for start, end, new in windows(len(text), context, stride):
        hidden = model.hidden(text[None, start:end], outputs=new)[0]  # (new, dim)
        targets = text[end + 1 - new : end + 1]
        for rows, wanted in zip(hidden.split(ROWS), targets.split(ROWS), strict=True):
            logits = model.logits(rows[None])[0].float()
            nats += F.cross_entropy(logits, wanted, reduction="none").double().sum().item()
        if not math.isfinite(nats):
            raise GroundupError(
                f"the loss is {nats} in tokens {start:,} to {end:,}: the model's weights or its "
                "activations are not finite; try --dtype float32"
            )
        counted += new
        report(counted, len(text) - 1)
    return Perplexity(nats, counted)
