"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

RUN = "            if self._make_room(sequence, count):\n"
RETURN = "                return False\n"
MISSING = "            missing = self._missing(sequence, count)\n"
BEGIN = "            if missing > self.allocator.free:\n"
FREE = """        for block in reversed(sequence.blocks):
            self.allocator.release(block)
"""

MISTAKES: dict[str, tuple[str, str]] = {
    # The batch.
    "no budget for those that run": (
        "            count = min(sequence.unread, budget)\n" + RUN,
        "            count = sequence.unread\n" + RUN,
    ),
    "no budget for those that begin": (
        "            count = min(sequence.unread, budget)\n" + MISSING + BEGIN,
        "            count = sequence.unread\n" + MISSING + BEGIN,
    ),
    "over budget by one": (
        "        budget = self._token_budget\n",
        "        budget = self._token_budget + 1\n",
    ),
    "the budget is not used up by those that run": (
        "                batch.append(Chunk(sequence, count))\n                budget -= count\n",
        "                batch.append(Chunk(sequence, count))\n",
    ),
    "a prompt that exceeds the budget is not begun": (
        BEGIN,
        "            if count < sequence.unread or missing > self.allocator.free:\n",
    ),
    "one that begins with an empty chunk": (
        "while self.waiting and budget > 0 and",
        "while self.waiting and",
    ),
    "a prompt is read at the speed of an answer": (
        "            count = min(sequence.unread, budget)\n" + RUN,
        "            count = min(sequence.unread, budget, 1)\n" + RUN,
    ),
    "one sequence too many": (
        "len(self.running) < self._max_sequences",
        "len(self.running) <= self._max_sequences",
    ),
    "one begins in each step": (
        "            budget -= count\n        return batch\n",
        "            break\n        return batch\n",
    ),
    "nothing begins while others run": (
        "while self.waiting and budget > 0 and",
        "while self.waiting and not (batch and turn) and budget > 0 and",
    ),
    # Order.
    "the one that came last begins first": (
        "sequence = self.waiting[0]",
        "self.waiting.rotate(1)\n            sequence = self.waiting[0]",
    ),
    "the shortest begins first": (
        "sequence = self.waiting[0]",
        "self.waiting = deque(sorted(self.waiting, key=lambda s: s.unread))\n"
        "            sequence = self.waiting[0]",
    ),
    "those that begin come first": (
        "self.running.append(sequence)",
        "self.running.insert(0, sequence)",
    ),
    "another overtakes the one that does not fit": (
        "                break\n",
        "                self.waiting.rotate(-1)\n"
        "                if self.waiting[0].last_length > sequence.last_length:\n"
        "                    break\n"
        "                continue\n",
    ),
    # Preemption.
    "the first is preempted": ("last = self.running.pop()", "last = self.running.pop(0)"),
    "the preempted one goes to the end of the queue": (
        "self.waiting.appendleft(last)",
        "self.waiting.append(last)",
    ),
    "the blocks of the preempted one are not released": (
        "            self._free(last)\n",
        "            last.blocks, last.read, last.digest = [], 0, b''\n",
    ),
    "the preempted one keeps its blocks": ("            self._free(last)\n", ""),
    "the preempted one is released twice": (
        "            self._free(last)\n",
        "            for block in last.blocks:\n                self.allocator.release(block)\n"
        "            self._free(last)\n",
    ),
    "all others are preempted": (
        "        while missing > self.allocator.free:\n",
        "        short = missing > self.allocator.free\n"
        "        while short and (\n"
        "            self.running[-1] is not sequence or missing > self.allocator.free\n"
        "        ):\n",
    ),
    "preempted with one block still free": (
        "        while missing > self.allocator.free:\n",
        "        while missing >= self.allocator.free + (missing == 0):\n",
    ),
    "one that preempted itself is read all the same": (
        "            if last is sequence:\n                return False\n",
        "            if last is sequence:\n                break\n",
    ),
    "the tokens of the preempted one are lost": (
        "            self.waiting.appendleft(last)\n",
        "            self.waiting.appendleft(last)\n            del last.tokens[last.prompt_length :]\n",  # noqa: E501
    ),
    "what was taken away is given back at once": (
        "        if self.preemptions > preemptions:",
        "        if False:",
    ),
    "preemptions are not counted": ("            self.preemptions += 1\n", ""),
    "steps are counted, not preemptions": (
        "            self.preemptions += 1\n",
        "            self.preemptions += 2\n",
    ),
    # Blocks.
    "rounded down to whole blocks": (
        "return -(-(sequence.read + count) // self._block_size)",
        "return (sequence.read + count) // self._block_size",
    ),
    "always one block more": (
        "return -(-(sequence.read + count) // self._block_size)",
        "return (sequence.read + count) // self._block_size + 1",
    ),
    "blocks that are left over are not counted": (
        "return -(-(sequence.read + count) // self._block_size) - len(sequence.blocks)",
        "return -(-(sequence.read + count) // self._block_size) "
        "- -(-sequence.read // self._block_size)",
    ),
    "blocks for the chunk alone": (
        "return -(-(sequence.read + count) // self._block_size)",
        "return -(-count // self._block_size)",
    ),
    "blocks for the whole prompt at once": (
        "return -(-(sequence.read + count) // self._block_size)",
        "return -(-len(sequence.tokens) // self._block_size)",
    ),
    "new blocks come before the others": (
        "sequence.blocks.append(self.prefix_cache.allocate())",
        "sequence.blocks.insert(0, self.prefix_cache.allocate())",
    ),
    "blocks are given out past the prefix cache": (
        "sequence.blocks.append(self.prefix_cache.allocate())",
        "sequence.blocks.append(self.allocator.allocate())",
    ),
    "begun without room": (BEGIN, "            if not self.allocator.free:\n"),
    "one that does not fit keeps what it found": (
        "                self._free(sequence)\n                break\n",
        "                break\n",
    ),
    "a leak when cancelled": (
        "            self.waiting.remove(sequence)\n        self._free(sequence)\n",
        "            self.waiting.remove(sequence)\n",
    ),
    "a leak when cancelled while it reads its prompt": (
        "            self.waiting.remove(sequence)\n        self._free(sequence)\n",
        "            self.waiting.remove(sequence)\n"
        "        if sequence.read >= sequence.prompt_length:\n            self._free(sequence)\n",
    ),
    "the last block is not released": (
        FREE,
        FREE.replace("reversed(sequence.blocks)", "sequence.blocks[:-1]"),
    ),
    "the first block is released first": (
        FREE,
        FREE.replace("reversed(sequence.blocks)", "sequence.blocks"),
    ),
    "shared blocks are released for all": (
        FREE,
        FREE.replace(
            "            self.allocator.release(block)\n",
            "            while self.allocator.holders(block):\n"
            "                self.allocator.release(block)\n",
        ),
    ),
    # The prefix.
    "the last token is taken from the cache": (
        "sequence.tokens[:-1], sequence.root",
        "sequence.tokens, sequence.root",
    ),
    "only the prompt is looked for, not the answer": (
        "sequence.tokens[:-1], sequence.root",
        "sequence.tokens[: sequence.prompt_length - 1], sequence.root",
    ),
    "nothing is looked for": ("sequence.tokens[:-1], sequence.root", "[], sequence.root"),
    "the root does not count": ("sequence.tokens[:-1], sequence.root", "sequence.tokens[:-1]"),
    "only what is made known has the root": (
        "            sequence.tokens[:-1], sequence.root\n        )\n",
        "            sequence.tokens[:-1]\n        )\n"
        "        sequence.digest = sequence.digest or sequence.root\n",
    ),
    "what was found is read again": (
        "        sequence.read = len(sequence.blocks) * self._block_size\n",
        "        sequence.read = 0\n",
    ),
    "more is found than there is": (
        "        sequence.read = len(sequence.blocks) * self._block_size\n",
        "        sequence.read = min(len(sequence.tokens) - 1,\n"
        "            len(sequence.blocks) * self._block_size + 1)\n",
    ),
    "the digest of what was found is lost": (
        "sequence.blocks, sequence.digest = self",
        "sequence.blocks, _ = self",
    ),
    "cached is counted again after preemption": (
        "            if not sequence.begun:\n",
        "            if len(sequence.tokens) == sequence.prompt_length:\n",
    ),
    "cached also of one that does not begin": (
        BEGIN,
        "            if not sequence.begun:\n                sequence.cached = sequence.read\n"
        + BEGIN,
    ),
    "begun is not set": ("sequence.begun, sequence.cached = True,", "_, sequence.cached = True,"),
    "cached is not set": ("sequence.begun, sequence.cached = True,", "sequence.begun, _ = True,"),
    # Reading.
    "a block that is not full is made known": (
        "(sequence.read + chunk.count) // size\n        for",
        "-(-(sequence.read + chunk.count) // size)\n        for",
    ),
    "the block in which the chunk began is not made known": (
        "first_full, last_full = sequence.read // size,",
        "first_full, last_full = -(-sequence.read // size),",
    ),
    "only the first block of a chunk is made known": (
        "for index in range(first_full, last_full):",
        "for index in range(first_full, min(last_full, first_full + 1)):",
    ),
    "nothing is made known": ("for index in range(first_full, last_full):", "for index in ():"),
    "the tokens of the block before": (
        "sequence.tokens[index * size : (index + 1) * size]",
        "sequence.tokens[max(0, index - 1) * size : max(1, index) * size]",
    ),
    "every block is made known as the first": (
        "self.prefix_cache.add(sequence.digest, sequence",
        "self.prefix_cache.add(b'', sequence",
    ),
    "the digest stays that of the first block": (
        "            sequence.digest = self.prefix_cache.add(sequence.digest, sequence.blocks[index], "  # noqa: E501
        "tokens)\n",
        "            digest = self.prefix_cache.add(sequence.digest, sequence.blocks[index], tokens)\n"  # noqa: E501
        "            sequence.digest = sequence.digest or digest\n",
    ),
    "made known before it is read": (
        "            self.running.append(sequence)\n            self._extend(sequence, missing)\n",
        "            self.running.append(sequence)\n            self._extend(sequence, missing)\n"
        "            digest = sequence.digest\n"
        "            for i in range(sequence.read // self._block_size,\n"
        "                           (sequence.read + count) // self._block_size):\n"
        "                piece = sequence.tokens[i * self._block_size : (i + 1) * self._block_size]\n"  # noqa: E501
        "                digest = self.prefix_cache.add(digest, sequence.blocks[i], piece)\n",
    ),
    "read does not move on": ("        sequence.read += chunk.count\n", ""),
    "read is set, not moved on": ("sequence.read += chunk.count", "sequence.read = chunk.count"),
    "advance always moves to the end": (
        "sequence.read += chunk.count",
        "sequence.read = len(sequence.tokens)",
    ),
    # Bad numbers.
    "a sequence that never fits is taken": ("if sequence.last_length > positions:", "if False:"),
    "the last position is refused": (
        "if sequence.last_length > positions:",
        "if sequence.last_length >= positions:",
    ),
    "only the prompt has to fit": (
        "if sequence.last_length > positions:",
        "if sequence.prompt_length > positions:",
    ),
    "an empty sequence is taken": ("if not sequence.tokens:", "if False:"),
    "a budget of zero": ("            if size <= 0:", "            if size < 0:"),
    "an equal sequence is removed": (
        "        if sequence in self.running:\n            self.running.remove(sequence)\n",
        "        for other in list(self.running):\n"
        "            if other.tokens == sequence.tokens:\n"
        "                self.running.remove(other)\n"
        "                break\n",
    ),
    "a stranger is removed in silence": (
        "            self.waiting.remove(sequence)\n",
        "            self.waiting = deque(s for s in self.waiting if s is not sequence)\n",
    ),
}
