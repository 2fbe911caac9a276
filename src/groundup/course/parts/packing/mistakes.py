"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "in the order in which they come": ("key=lambda i: -lengths[i]", "key=lambda i: i"),
    "from the shortest": ("key=lambda i: -lengths[i]", "key=lambda i: lengths[i]"),
    "equally long ones from the last": (
        "sorted(range(len(lengths)), key=lambda i: -lengths[i])",
        "sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=False)[::-1]",
    ),
    "into the row with the most space": (
        "at = bisect_left(spaces, lengths[index])",
        "at = len(spaces) - 1 if spaces and spaces[-1] >= lengths[index] else len(spaces)",
    ),
    "only into rows with more space than needed": (
        "bisect_left(spaces, lengths[index])",
        "bisect_left(spaces, lengths[index] + 1)",
    ),
    "a token too many": (
        "bisect_left(spaces, lengths[index])",
        "bisect_left(spaces, lengths[index] - 1)",
    ),
    "each into a row of its own": ("if at == len(spaces):", "if True:"),
    "the space of a new row is forgotten": ("left = space -", "left = room -"),
    "the row that was begun last": (
        "row = heappop(by_space[space])",
        "row = max(by_space[space])\n            by_space[space].remove(row)",
    ),
    "the row that was filled first": (
        "row = heappop(by_space[space])",
        "row = by_space[space].pop(0)",
    ),
    "a space without rows is left in the table": (
        "            if not by_space[space]:\n                del by_space[space], spaces[at]\n",
        "            if not by_space[space]:\n                del spaces[at]\n",
    ),
    "long documents are cut": (
        "if not 0 < length <= room:",
        "if not 0 < length:",
    ),
    "empty documents are taken": ("if not 0 < length <= room:", "if not length <= room:"),
    "the wrong document is named": ('f"document {index} is', 'f"document {index + 5} is'),
    "no room is taken for room": ("if room <= 0:", "if room < 0:"),
    "the lengths are sorted in place": (
        "    rows: list[list[int]] = []",
        "    lengths.sort(reverse=True)\n    rows: list[list[int]] = []",
    ),
}  # fmt: skip
