"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

RELEASED = """        self._holders[block] -= 1
        if self._holders[block] == 0:
            self._free[block] = None
"""

MISTAKES: dict[str, tuple[str, str]] = {
    "blocks are numbered from one": ("fromkeys(range(blocks))", "fromkeys(range(1, blocks))"),
    "the last block first": ("fromkeys(range(blocks))", "fromkeys(reversed(range(blocks)))"),
    "what became free last is given out first": ("popitem(last=False)", "popitem()"),
    "what became free last is the first in the queue": (
        "            self._free[block] = None\n",
        "            self._free[block] = None\n            self._free.move_to_end(block, False)\n",
    ),
    "the free block of the lowest number": (
        "block, _ = self._free.popitem(last=False)",
        "block = min(self._free)\n        del self._free[block]",
    ),
    "a block given out stays in the queue": (
        "block, _ = self._free.popitem(last=False)",
        "block = next(iter(self._free))",
    ),
    "a block given out has no holder": ("self._holders[block] = 1", "self._holders[block] = 0"),
    "a free block that is held stays in the queue": (
        "            del self._free[block]\n",
        "            pass\n",
    ),
    "hold counts nothing": ("self._holders[block] += 1", "pass"),
    "hold sets one holder": ("self._holders[block] += 1", "self._holders[block] = 1"),
    "the first release frees": (
        RELEASED,
        "        self._holders[block] = 0\n        self._free[block] = None\n",
    ),
    "the first release puts it in the queue": (
        RELEASED,
        "        self._holders[block] -= 1\n        self._free[block] = None\n",
    ),
    "a release never frees": ("            self._free[block] = None\n", "            pass\n"),
    "free with one holder left": (
        "        if self._holders[block] == 0:\n            self._free[block] = None\n",
        "        if self._holders[block] <= 1:\n            self._free[block] = None\n",
    ),
    "a double release goes unseen": (
        '            raise ValueError(f"block {block} is released, and nobody holds it")',
        "            return",
    ),
    "a double release makes a negative count": (
        '            raise ValueError(f"block {block} is released, and nobody holds it")',
        "            pass",
    ),
    "a double release is seen too late": (
        '            raise ValueError(f"block {block} is released, and nobody holds it")',
        "            self._free.move_to_end(block)\n            raise ValueError(block)",
    ),
    "without free blocks a KeyError": (
        '            raise ValueError(f"all {self.size} blocks are held")',
        "            pass",
    ),
    "without free blocks None": (
        '            raise ValueError(f"all {self.size} blocks are held")',
        "            return None",
    ),
    "the size counts the free ones": ("return len(self._holders)", "return len(self._free)"),
    "free counts the held ones": (
        "return len(self._free)",
        "return len(self._holders) - len(self._free)",
    ),
    "free counts holders, not blocks": (
        "return len(self._free)",
        "return len(self._holders) - sum(self._holders)",
    ),
    "no blocks are taken": ("if blocks <= 0:", "if blocks < 0:"),
    "a list is searched for what is held": (
        "            del self._free[block]\n",
        "            self._free = OrderedDict.fromkeys(b for b in self._free if b != block)\n",
    ),
}
