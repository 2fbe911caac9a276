"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

HASH = 'blake2b(before + array("I", tokens).tobytes(), digest_size=16).digest()'

MISTAKES: dict[str, tuple[str, str]] = {
    "a digest without what came before": ("blake2b(before + array(", "blake2b(array("),
    "only whether it is the first counts": (
        "blake2b(before + array(",
        "blake2b(before[:1] + array(",
    ),
    "every digest builds on the first": ("            digest = longer\n", "            pass\n"),
    "digits that run together": (
        'array("I", tokens).tobytes()',
        'b"".join(b"%d" % t for t in tokens)',
    ),
    "tokens cut to a byte": ('array("I", tokens).tobytes()', "bytes(t % 256 for t in tokens)"),
    "tokens cut to two bytes": ('array("I", tokens)', 'array("H", [t % 65536 for t in tokens])'),
    "tokens with a sign": ('array("I", tokens)', 'array("i", tokens)'),
    "the order of tokens does not count": ('array("I", tokens)', 'array("I", sorted(tokens))'),
    "the last token does not count": ('array("I", tokens)', 'array("I", tokens[:-1])'),
    "a short digest": ("digest_size=16", "digest_size=4"),
    "Python's hash": (HASH, 'hash((before, *tokens)).to_bytes(8, "big", signed=True)'),
    "a full block at the end is not found": (
        "len(tokens) - self._block_size + 1",
        "len(tokens) - self._block_size",
    ),
    "blocks are looked for at every place": (
        "len(tokens) - self._block_size + 1, self._block_size)",
        "len(tokens) - self._block_size + 1)",
    ),
    "a gap is passed over": ("                break\n", "                continue\n"),
    "what is found is not held": ("            self._allocator.hold(block)\n", ""),
    "only a free block is held": (
        "            self._allocator.hold(block)\n",
        "            if self._allocator.holders(block) == 0:\n"
        "                self._allocator.hold(block)\n",
    ),
    "only what is held is found": (
        "            if block is None:",
        "            if block is None or self._allocator.holders(block) == 0:",
    ),
    "the last block is held twice": (
        "        return found, digest\n",
        "        for block in found[-1:]:\n            self._allocator.hold(block)\n"
        "        return found, digest\n",
    ),
    "the digest of the first block": (
        "        return found, digest\n",
        "        first = self._digest(b'', tokens[: self._block_size])\n"
        "        return found, first if found else b''\n",
    ),
    "a digest also where nothing is found": (
        "            block = self._block_of.get(longer)\n",
        "            block = self._block_of.get(longer)\n"
        "            digest = digest if block is not None else longer\n",
    ),
    "the root is not looked at": ("        digest = root\n", "        digest = b''\n"),
    "only whether there is a root counts": (
        "        digest = root\n",
        "        digest = b'root' if root else b''\n",
    ),
    "no root where nothing is found": (
        "        return found, digest\n",
        "        return found, digest if found else b''\n",
    ),
    "from the last block to the first": ("return found, digest", "return found[::-1], digest"),
    "the old content stays known": (
        "        if digest is not None:\n            del self._block_of[digest]\n",
        "",
    ),
    "the old digest stays with the block": ("_digest_of.pop(block, None)", "_digest_of.get(block)"),
    "everything is forgotten": (
        "            del self._block_of[digest]\n",
        "            self._block_of.clear()\n            self._digest_of.clear()\n",
    ),
    "forgotten when all blocks are held": (
        "        block = self._allocator.allocate()\n",
        "        if not self._allocator.free:\n            self._block_of.clear()\n"
        "        block = self._allocator.allocate()\n",
    ),
    "the later of two stays": ("if digest not in self._block_of and block", "if block"),
    "the digest is noted for both of two": (
        "        if digest not in self._block_of and block not in self._digest_of:\n"
        "            self._block_of[digest] = block\n",
        "        if block not in self._digest_of:\n"
        "            self._block_of.setdefault(digest, block)\n",
    ),
    "a known block is added to nothing": (
        "        return digest\n\n    @static",
        "        return digest if self._block_of[digest] == block else b''\n\n    @static",
    ),
    "a block that is not full is added": ("if len(tokens) != self._block_size:", "if False:"),
    "too many tokens are added": (
        "if len(tokens) != self._block_size:",
        "if len(tokens) < self._block_size:",
    ),
    "a block size of zero": ("if block_size <= 0:", "if block_size < 0:"),
    "every block that is held is known": (
        "return block in self._digest_of",
        "return bool(self._allocator.holders(block)) or block in self._digest_of",
    ),
    "a block given out anew is still known": (
        "self._digest_of.pop(block, None)",
        "self._digest_of.get(block)",
    ),
    "the length counts the digests that ever were": (
        "return len(self._block_of)",
        "return self._allocator.size - self._allocator.free",
    ),
}
