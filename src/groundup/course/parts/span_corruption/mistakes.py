"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the last sentinel is missing": (
        "target += [sentinels[len(spans)], eos_id]",
        "target += [eos_id]",
    ),
    "the last sentinel is used again": (
        "target += [sentinels[len(spans)], eos_id]",
        "target += [sentinels[max(0, len(spans) - 1)], eos_id]",
    ),
    "spans stay in the source": (
        "        position = stop\n    source",
        "        position = start\n    source",
    ),
    "the sentinel follows its span": (
        "target += [sentinel, *ids[start:stop]]",
        "target += [*ids[start:stop], sentinel]",
    ),
    "a sentinel for each token": (
        "source += [*ids[position:start], sentinel]",
        "source += [*ids[position:start], *[sentinel] * (stop - start)]",
    ),
    "overlaps are taken": (
        "if not position <= start < stop <= len(ids):",
        "if not 0 <= start < stop <= len(ids):",
    ),
    "spans beyond the end are taken": ("start < stop <= len(ids):", "start < stop:"),
    "the last sentinel is not counted": (
        "if len(sentinels) <= len(spans):",
        "if len(sentinels) < len(spans):",
    ),
    "nothing is lost of short texts": ("max(round(tokens * rate), 1)", "round(tokens * rate)"),
    "everything may be lost": ("1), tokens - 1)", "1), tokens)"),
    "as many spans as tokens lost": ("max(round(lost / mean_length), 1)", "lost"),
    "spans of equal length": (
        "lengths, gaps = _division(lost, spans, rng), _division(kept, spans, rng)",
        "lengths, gaps = [lost // spans] * (spans - 1), _division(kept, spans, rng)\n"
        "    lengths.append(lost - sum(lengths))",
    ),
    "uneven cuts": (
        "rng.sample(range(1, total), parts - 1)",
        "rng.sample(range(1, total), parts - 1) if rng.random() < 0.7 else range(1, parts)",
    ),
    "spans begin the text": (
        "found.append((position + gap, position + gap + length))",
        "found.append((position, position + length))",
    ),
    "the generator is not used": ("sorted(rng.sample(", "sorted(random.sample("),
}
