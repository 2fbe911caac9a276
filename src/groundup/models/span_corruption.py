"""T5's objective: spans of a text are cut out, and the model writes them."""

import random
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["corrupt_spans", "random_spans"]


def random_spans(
    tokens: int, rng: random.Random, *, rate: float = 0.15, mean_length: float = 3.0
) -> list[tuple[int, int]]:
    """Which spans of a text are cut out.

    In all ``round(tokens * rate)`` tokens are cut out, at least one and at most ``tokens - 1``, in
    ``round(that / mean_length)`` spans, at least one and at most as many as tokens remain. The
    tokens cut out are divided among the spans, and those that remain among the gaps before them, so
    that every division into parts of at least one token is equally likely. A text thus begins with
    a gap and ends with a span, and no two spans touch.

    Args:
        tokens: how many there are, at least 2.
        rng: where the divisions come from.
        rate: the share cut out, more than 0 and less than 1.
        mean_length: of a span, at least 1.

    Returns:
        Pairs ``(start, stop)`` in their order, ``stop`` not included.

    Raises:
        ValueError: there are fewer than 2 tokens, or rate or mean_length is out of its range.

    Source: Raffel et al. 2019, "Exploring the limits of transfer learning", section 3.1.4, and the
    function random_spans_noise_mask of its code.
    """
    if tokens < 2:
        raise ValueError(f"a text needs at least 2 tokens to keep one and lose one, got {tokens}")
    if not 0 < rate < 1 or mean_length < 1:
        raise ValueError(f"expected 0 < rate < 1 and mean_length >= 1, got {rate}, {mean_length}")
    lost = min(max(round(tokens * rate), 1), tokens - 1)
    kept = tokens - lost
    spans = min(max(round(lost / mean_length), 1), lost, kept)
    lengths, gaps = _division(lost, spans, rng), _division(kept, spans, rng)
    found, position = [], 0
    for gap, length in zip(gaps, lengths, strict=True):
        found.append((position + gap, position + gap + length))
        position += gap + length
    return found


def _division(total: int, parts: int, rng: random.Random) -> list[int]:
    """``total`` as a sum of ``parts`` positive numbers, every such sum equally likely."""
    cuts = [0, *sorted(rng.sample(range(1, total), parts - 1)), total]
    return [after - before for before, after in pairwise(cuts)]


def corrupt_spans(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], sentinels: Sequence[int], eos_id: int
) -> tuple[list[int], list[int]]:
    """Source and target of one text.

    In the source, each span is replaced by a sentinel, the first by ``sentinels[0]`` and so on. The
    target is each sentinel followed by the tokens of its span, and one more sentinel at its end.
    Both end with ``eos_id``.

    Args:
        ids: the text's token ids, without an end token.
        spans: pairs ``(start, stop)`` in their order, each of at least one token, that do not
            overlap.
        sentinels: ids that no text has, at least one more than there are spans.
        eos_id: the end token.

    Returns:
        ``source, target``.

    Raises:
        ValueError: a span is empty, out of its order or of the text, or there are too few
            sentinels.

    Source: Raffel et al. 2019, "Exploring the limits of transfer learning", section 3.1.4,
    figure 2.
    """
    if len(sentinels) <= len(spans):
        raise ValueError(
            f"{len(spans)} spans need {len(spans) + 1} sentinels, got {len(sentinels)}"
        )
    source: list[int] = []
    target: list[int] = []
    position = 0
    for (start, stop), sentinel in zip(spans, sentinels, strict=False):
        if not position <= start < stop <= len(ids):
            raise ValueError(
                f"the span {start} to {stop} of a text of {len(ids)} tokens is empty, out of the "
                f"text, or begins before {position}, where the last one ended"
            )
        source += [*ids[position:start], sentinel]
        target += [sentinel, *ids[start:stop]]
        position = stop
    source += [*ids[position:], eos_id]
    target += [sentinels[len(spans)], eos_id]
    return source, target
