"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "ties go to the later start": (
        "if best[start] + score > best[end]:",
        "if best[start] + score >= best[end]:",
    ),
    "the lowest score": (
        "if best[start] + score > best[end]:",
        "if best[end] == -math.inf or best[start] + score < best[end]:",
    ),
    "the fewest tokens": ("best[end] = best[start] + score", "best[end] = best[start] - 1"),
    "tokens are one shorter than they may be": (
        "min(start + longest, len(word)) + 1",
        "min(start + longest - 1, len(word)) + 1",
    ),
    "tokens of any length": (
        "range(start + 1, min(start + longest, len(word)) + 1)",
        "range(start + 1, len(word) + 1)",
    ),
    "unknown stretches of any length": (
        "                if end > start + 1:\n                    continue\n",
        "",
    ),
    "unknown characters cost nothing": (
        "                score = unknown_score\n            if best",
        "                score = 0.0\n            if best",
    ),
    "every character is as an unknown one": (
        "            score = scores.get(word[start:end])\n            if score is None:",
        "            score = scores.get(word[start:end])\n"
        "            if score is None or end == start + 1:",
    ),
    "the way is not turned round": (
        "        end = came_from[end]\n    return spans[::-1]",
        "        end = came_from[end]\n    return spans",
    ),
    "the n best of the worst": ("key=lambda way: -way[0]", "key=lambda way: way[0]"),
    "one too few": ("-way[0])[:n]", "-way[0])[: max(1, n - 1)]"),
    "the n best are the best ones' neighbours": (
        "for before, path in ways[start]]",
        "for before, path in ways[start][:1]]",
    ),
    "no limit on n": ("    if n < 1:\n", "    if n < 0:\n"),
    "the temperature is left out": (
        "total[start] + score / temperature",
        "total[start] + score",
    ),
    "the temperature multiplies": (
        "total[start] + score / temperature",
        "total[start] + score * temperature",
    ),
    "each edge alike": (
        "drawn -= math.exp(weight - total[end])",
        "drawn -= 1 / len(edges[end])",
    ),
    "the best edge in place of a drawn one": (
        "drawn = random.random()",
        "drawn = random.random() * 1e-9",
    ),
    "sums that are not in logarithms": (
        "total[end] = highest + math.log(sum(math.exp(w - highest) for _, w in found))",
        "total[end] = math.log(sum(math.exp(w) for _, w in found))",
    ),
    "the maximum in place of the sum": (
        "total[end] = highest + math.log(sum(math.exp(w - highest) for _, w in found))",
        "total[end] = highest",
    ),
    "NaN is a temperature": ("if not temperature > 0:", "if temperature <= 0:"),
}
