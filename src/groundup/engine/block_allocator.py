"""Blocks of the paged KV cache: who holds which, and which may be given away."""

from collections import OrderedDict

__all__ = ["BlockAllocator"]


class BlockAllocator:
    """Counts the holders of a fixed number of blocks, numbered from 0.

    A block that nobody holds is *free*, but what was written in it stays until it is given out
    anew, so it can be taken up again by its number. The block that has been free for longest is
    given out first: what was used lately has the best chance to be used again. New blocks are
    given out in the order of their numbers.

    A server has hundreds of thousands of blocks. No call takes longer for it, except the first.

    Source: Kwon et al. 2023, "Efficient memory management for large language model serving with
    PagedAttention", section 4.2 (blocks) and 4.4 (sharing by reference counts).
    """

    def __init__(self, blocks: int) -> None:
        """Make an allocator of ``blocks`` free blocks.

        Raises:
            ValueError: blocks is not positive.
        """
        if blocks <= 0:
            raise ValueError(f"blocks must be positive, got {blocks}")
        self._holders = [0] * blocks
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(blocks))

    @property
    def size(self) -> int:
        """All blocks, free or held."""
        return len(self._holders)

    @property
    def free(self) -> int:
        """How many blocks `allocate` can give out."""
        return len(self._free)

    def holders(self, block: int) -> int:
        """How often the block is held; 0 is free."""
        return self._holders[block]

    def allocate(self) -> int:
        """Give out the block that has been free for longest; it has one holder then.

        Raises:
            ValueError: no block is free.
        """
        if not self._free:
            raise ValueError(f"all {self.size} blocks are held")
        block, _ = self._free.popitem(last=False)
        self._holders[block] = 1
        return block

    def hold(self, block: int) -> None:
        """One holder more, also of a free block, whose content is thus saved.

        A free block that is held is not given out; it is free again after as many releases.
        """
        if self._holders[block] == 0:
            del self._free[block]
        self._holders[block] += 1

    def release(self, block: int) -> None:
        """One holder less. Without holders the block is free, the last in the queue to be given.

        Raises:
            ValueError: nobody holds it.
        """
        if self._holders[block] == 0:
            raise ValueError(f"block {block} is released, and nobody holds it")
        self._holders[block] -= 1
        if self._holders[block] == 0:
            self._free[block] = None
