"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "a lone surrogate raises": ('text.encode("utf-8", "surrogatepass")', "text.encode()"),
    "Python's own hash": (
        'int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big")',
        "hash(text) % 2**64",
    ),
    "the least significant byte first": ('"big"', '"little"'),
    "a longer digest cut off": ("digest_size=8).digest()", "digest_size=16).digest()[:8]"),
    "the key modulo the number of nodes": (
        'start = bisect_left(self._ring, (position(key), ""))',
        "start = position(key) % len(self._ring)",
    ),
    "a key on a point goes past it": (
        'bisect_left(self._ring, (position(key), ""))',
        'bisect_left(self._ring, (position(key) + 1, ""))',
    ),
    "the point before the key": ("[(start + i) %", "[(start + i - 1) %"),
    "the ring is not closed": (
        "[(start + i) % len(self._ring)]",
        "[min(start + i, len(self._ring) - 1)]",
    ),
    "the walk goes backwards": ("(start + i)", "(start - i)"),
    "one point a node": ("range(count)]", "range(1)]"),
    "points count from one": ("in range(count)]", "in range(1, count + 1)]"),
    "the weight is not used": ("round(self._points * weight)", "self._points"),
    "a light node has no point": (
        "max(1, round(self._points * weight))",
        "round(self._points * weight)",
    ),
    "points are cut off, not rounded": (
        "round(self._points * weight)",
        "int(self._points * weight)",
    ),
    "the ring is not sorted": ("        self._ring.sort()\n", ""),
    "the nodes are given themselves": ("return dict(self._weights)", "return self._weights"),
    "one point goes with the node": (
        "self._ring = [(place, name) for place, name in self._ring if name != node]",
        'self._ring.remove((position(f"{node}#0"), node))',
    ),
    "a node may be added twice": ("if node in self._weights:", "if False:"),
    "an unknown node is removed": (
        '            raise ValueError(f"no node {node!r}',
        '            return\n            raise ValueError(f"no node {node!r}',
    ),
    "any weight is taken": ("if not 0 < weight < math.inf:", "if weight == 0:"),
    "the same node several times": ("            if node not in met:", "            if True:"),
    "one node more": ("if len(found) == k:", "if len(found) > k:"),
    "the load may reach the room": ("loads[node] < math.ceil(", "loads[node] <= math.ceil("),
    "the one to be placed does not count": ("(sum(loads.values()) + 1)", "sum(loads.values())"),
    "the room is rounded down": (
        "math.ceil(room * self._weights[node])",
        "max(1, math.floor(room * self._weights[node]))",
    ),
    "equal room for unequal weights": (
        "math.ceil(room * self._weights[node])",
        "math.ceil(room * sum(self._weights[n] for n in loads) / len(loads))",
    ),
    "absent nodes count as room": (
        "sum(self._weights[node] for node in loads)",
        "sum(self._weights.values())",
    ),
    "the bound is not held": ("if node in loads and", "if node in loads or"),
    "the least loaded node": (
        "        return next(\n",
        "        return min(loads, key=lambda n: loads[n])\n        return next(\n",
    ),
    "a factor of one": ("if not factor > 1:", "if factor < 1:"),
    "loads of strangers": (
        "if strangers := loads.keys() - self._weights.keys():",
        "if strangers := []:",
    ),
}
