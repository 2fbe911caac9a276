"""The prefix cache: blocks found again by what they hold and what came before it."""

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from groundup.engine.block_allocator import BlockAllocator

__all__ = ["PrefixCache"]


class PrefixCache:
    """Knows which block holds the keys and values of which tokens after which prefix.

    A full block is known by a *digest* of its tokens and of the digest before it, so two sequences
    share a block exactly when all their tokens up to its end are the same. A block is found for as
    long as it is not given out anew (`allocate`), whether it is held or free.

    Keys and values may depend on more than the tokens: on the adapter that a sequence is read with.
    Such sequences begin their chain of digests with a *root* of their own, and find only what was
    added behind the same root.

    A digest is 16 bytes of a cryptographic hash (`hashlib.blake2b`). With a weaker one, such as
    Python's own ``hash``, a prompt made to collide would read another user's keys and values.

    Source: Zheng et al. 2023, "SGLang", section 3 (reuse across requests, least recently used
    first out). The chain of digests is that of vLLM's automatic prefix caching.
    """

    def __init__(self, allocator: BlockAllocator, block_size: int) -> None:
        """Make an empty cache of blocks of ``block_size`` tokens.

        Args:
            allocator: gives the blocks out, and counts who holds them. Others may hold and release
                blocks beside the cache, and all blocks are given out through the cache.
            block_size: tokens of a block.

        Raises:
            ValueError: block_size is not positive.
        """
        if block_size <= 0:
            raise ValueError(f"block_size must be positive, got {block_size}")
        self._allocator = allocator
        self._block_size = block_size
        self._block_of: dict[bytes, int] = {}
        self._digest_of: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many blocks are known. Of two with the same content and prefix, one is."""
        return len(self._block_of)

    def __contains__(self, block: int) -> bool:
        """Whether the block with this number is known."""
        return block in self._digest_of

    def match(self, tokens: Sequence[int], root: bytes = b"") -> tuple[list[int], bytes]:
        """The blocks that hold the longest known beginning of ``tokens``.

        Only whole blocks are found, and a block only behind all those before it.

        Args:
            tokens: ids, each from 0 to 2**32 - 1; not changed.
            root: the digest before the first block.

        Returns:
            The blocks in order, each held once more for the caller, and the digest of the last
            (``root``, where none is found). Other blocks are not held.
        """
        found: list[int] = []
        digest = root
        for start in range(0, len(tokens) - self._block_size + 1, self._block_size):
            longer = self._digest(digest, tokens[start : start + self._block_size])
            block = self._block_of.get(longer)
            if block is None:
                break
            self._allocator.hold(block)
            found.append(block)
            digest = longer
        return found, digest

    def allocate(self) -> int:
        """A block from the allocator to write in; what it held before is not found any more.

        Only that block is forgotten. It has one holder, the caller, and is not known until `add`.

        Raises:
            ValueError: no block is free.
        """
        block = self._allocator.allocate()
        digest = self._digest_of.pop(block, None)
        if digest is not None:
            del self._block_of[digest]
        return block

    def add(self, before: bytes, block: int, tokens: Sequence[int]) -> bytes:
        """Let a block that has been filled be found from now on.

        Where another block with the same content after the same prefix is known, that one stays.

        Args:
            before: the digest of the block before it in its sequence; the root for the first.
            block: the block's number; it is held.
            tokens: those whose keys and values it holds.

        Returns:
            The digest of this block, for the one after it.

        Raises:
            ValueError: the block is not full.
        """
        if len(tokens) != self._block_size:
            raise ValueError(f"a full block has {self._block_size} tokens, got {len(tokens)}")
        digest = self._digest(before, tokens)
        if digest not in self._block_of and block not in self._digest_of:
            self._block_of[digest] = block
            self._digest_of[block] = digest
        return digest

    @staticmethod
    def _digest(before: bytes, tokens: Sequence[int]) -> bytes:
        # Not a fast hash: a prompt made to collide would read another user's keys and values.
        return blake2b(before + array("I", tokens).tobytes(), digest_size=16).digest()
