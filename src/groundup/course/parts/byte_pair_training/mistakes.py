"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "words count once, however frequent": (
        "            pair_counts[pair] += count\n",
        "            pair_counts[pair] += 1\n",
    ),
    "a pair counts once in a word": (
        "for pair in pairwise(symbols):",
        "for pair in set(pairwise(symbols)):",
    ),
    "the rarest pair first": (
        "queue = [(-count, *pair) for pair, count in pair_counts.items()]",
        "queue = [(count, *pair) for pair, count in pair_counts.items()]",
    ),
    "the list of pairs is read as if it were sorted": ("    heapify(queue)\n", ""),
    "old counts are believed": ("if pair_counts[pair] != -negative:", "if False:"),
    "old entries are thrown away": (
        "            heappush(queue, (-pair_counts[pair], left, right))\n            continue",
        "            continue",
    ),
    "one symbol too many": ("alphabet + len(merges) < size:", "alphabet + len(merges) <= size:"),
    "one symbol too few": ("alphabet + len(merges) < size:", "alphabet + len(merges) < size - 1:"),
    "the size is the number of merges": ("alphabet + len(merges) < size:", "len(merges) < size:"),
    "the least count is not enough": ("< max(least, 1):", "<= max(least, 1):"),
    "there is no least count": ("< max(least, 1):", "< 1:"),
    "symbols are numbered from one more": (
        "        joined = alphabet + len(merges)\n",
        "        joined = alphabet + len(merges) + 1\n",
    ),
    "left and right swapped": (
        "merges.append((left, right, joined))",
        "merges.append((right, left, joined))",
    ),
    "counts that fall are forgotten": (
        "                pair_counts[old] -= counts[index]\n",
        "",
    ),
    "counts fall by one": ("pair_counts[old] -= counts[index]", "pair_counts[old] -= 1"),
    "counts rise by one": ("pair_counts[new] += counts[index]", "pair_counts[new] += 1"),
    "new pairs are not looked for again": (
        "                heappush(queue, (-pair_counts[new], *new))\n",
        "                pass\n",
    ),
    "new pairs have no words": ("                found_in[new].add(index)\n", ""),
    "no new pair on the left": ("            if i > 0:\n", "            if i > len(text):\n"),
    "the first symbol makes no pair": ("            if i > 0:\n", "            if i > 1:\n"),
    "no new pair on the right": (
        "            if i + 1 < len(text):\n",
        "            if i + 1 > len(text):\n",
    ),
    "only the first place in a word is joined": (
        "                yield (right, text[i + 1]), (joined, text[i + 1])\n",
        "                yield (right, text[i + 1]), (joined, text[i + 1])\n            return\n",
    ),
    "the words are changed": ("texts.append(list(symbols))", "texts.append(symbols)"),
}
