"""A sequence on its way through the engine: its tokens, and the blocks that hold their keys."""

from dataclasses import dataclass, field

__all__ = ["Sequence"]


@dataclass(eq=False, slots=True)
class Sequence:
    """The tokens of a prompt and its answer, and how far the model has read them."""

    tokens: list[int]
    prompt_length: int
    last_length: int  # the most tokens that it may come to have, never exceeded
    blocks: list[int] = field(default_factory=list)  # hold the first positions, in order
    read: int = 0  # positions whose keys and values are in the blocks
    digest: bytes = b""  # of the last full block that was read
    root: bytes = b""  # the digest before the first block: of the adapter that it is read with
    cached: int = 0  # positions found in the prefix cache when it first began
    begun: bool = False  # whether it was ever in a batch, also if it was preempted since

    @property
    def unread(self) -> int:
        """Tokens that the model must still read; 1 while it generates."""
        return len(self.tokens) - self.read
