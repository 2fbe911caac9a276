"""The parts that an answer of a local model runs through, in their order."""

from collections.abc import Collection

__all__ = ["ANSWER_PATH", "own_parts"]

# By id: what the part does for a token.
ANSWER_PATH: dict[str, str] = {
    "byte-pair-encoding": "makes tokens of the text",
    "continuous-batching": "chooses what each step reads",
    "block-allocator": "gives the sequence its blocks of the cache",
    "prefix-cache": "finds what was read before",
    "rms-norm": "scales the values between layers",
    "rotary": "turns queries and keys by their positions",
    "kv-cache": "keeps keys and values",
    "attention": "looks back at the text",
    "swiglu": "the feed-forward layers",
    "sampling": "chooses the next token",
}


def own_parts(swapped: Collection[str]) -> list[str]:
    """Those of the swapped parts that an answer runs through, in its order."""
    return [part for part in ANSWER_PATH if part in swapped]
