"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "every byte stands for its Latin-1 character": (
        'if chr(byte).isprintable() and chr(byte) != " ":',
        "if True:",
    ),
    "the space stands for itself": (' and chr(byte) != " ":', ":"),
    "only ASCII stands for itself": ('and chr(byte) != " "', 'and chr(byte) != " " and byte < 128'),
    "the stand-ins begin one too high": ("chr(256 + hidden)", "chr(257 + hidden)"),
    "a stand-in is the byte's number above 256": ("chr(256 + hidden)", "chr(256 + byte)"),
    "all hidden bytes share one character": ("            hidden += 1\n", ""),
    "the last byte is missing": ("for byte in range(256):", "for byte in range(255):"),
    "the rank is the joined token's id": (
        "(rank, vocabulary[left + right])",
        "(vocabulary[left + right], vocabulary[left + right])",
    ),
    "ranks count from one": ("in enumerate(merges)", "in enumerate(merges, 1)"),
    "rank and id swapped": (
        "(rank, vocabulary[left + right])",
        "(vocabulary[left + right], rank)",
    ),
    "the pair is turned round": (
        "(vocabulary[left], vocabulary[right]): (",
        "(vocabulary[right], vocabulary[left]): (",
    ),
    "a missing token raises KeyError": ("raise GroundupError(", "raise KeyError("),
    "merges of missing tokens are left out": (
        "for rank, (left, right) in enumerate(merges)",
        "for rank, (left, right) in enumerate(merges)\n"
        "            if {left, right, left + right} <= vocabulary.keys()",
    ),
    "nothing is merged": ("    heapify(heap)\n", "    heap.clear()\n"),
    "only one merge is made": ("    while heap:\n", "    for _ in heap[:1]:\n"),
    "the list of pairs is read as if it were sorted": (
        "rank, left = heappop(heap)",
        "rank, left = heap.pop(0)",
    ),
    "the highest rank first": ("    heapify(heap)\n", "    heap.sort(reverse=True)\n"),
    "the rightmost of several first": (
        "    heapify(heap)\n    while heap:\n        rank, left = heappop(heap)\n",
        "    heap = [(rank, -left) for rank, left in heap]\n"
        "    heapify(heap)\n"
        "    while heap:\n"
        "        rank, left = heappop(heap)\n"
        "        left = abs(left)\n",
    ),
    "entries that no longer hold are merged": (
        "if merge is None or merge[0] != rank:",
        "if merge is None:",
    ),
    "a consumed symbol stays": ("ids[right] = -1", "pass"),
    "the left symbol is the one consumed": (
        "        ids[left] = merge[1]\n        ids[right] = -1",
        "        ids[right] = merge[1]\n        ids[left] = -1",
    ),
    "the rank is put in place of the id": ("ids[left] = merge[1]", "ids[left] = merge[0]"),
    "no new pair on the left": ("in (before[left], left):", "in (left,):"),
    "no new pair on the right": ("in (before[left], left):", "in (before[left],):"),
    "the way back is not mended": (
        "            before[after[left]] = left\n",
        "            pass\n",
    ),
    "the way forward is not mended": ("        after[left] = after[right]\n", ""),
    "the first symbol takes no part in new pairs": ("if start >= 0 and", "if start > 0 and"),
    "the symbols are changed": ("ids = list(symbols)", "ids = symbols"),
    "the last symbol is lost": (
        "for symbol in ids if symbol != -1",
        "for symbol in ids[:-1] if symbol != -1",
    ),
    "a tuple in place of a list": (
        "return [symbol for symbol in ids if symbol != -1]",
        "return tuple(symbol for symbol in ids if symbol != -1)",
    ),
}
