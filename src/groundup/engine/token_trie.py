"""The tokens of a vocabulary as a tree of their common beginnings (a trie), in flat arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenTrie", "token_trie"]


@dataclass(frozen=True)
class TokenTrie:
    """N nodes in the order of a depth-first walk; node 0 is the root, the empty beginning.

    A node's descendants are the nodes right behind it, so a walk that gives up a branch goes on at
    ``end``, and no token below it is looked at.
    """

    byte: NDArray[np.uint8]  # (N,) the byte that leads to a node; 0 for the root
    depth: NDArray[np.int32]  # (N,) bytes from the root
    end: NDArray[np.int32]  # (N,) one more than the last descendant
    below: NDArray[
        np.uint64
    ]  # (N, 4) the set of the descendants' bytes: bit b % 64 of word b // 64
    node_of: NDArray[np.intp]  # (V,) where a token ends; 0 for ids that no text is written with


def token_trie(tokens: Mapping[int, bytes], size: int) -> TokenTrie:
    """Build the trie.

    Arguments:
        tokens: id to bytes, of the tokens that may be written; several may have the same bytes,
            and those without bytes are left out.
        size: the size of the vocabulary, V; ids are 0 to V - 1.
    """
    node_of = np.zeros(size, np.intp)
    path, label, depth, parent = [0], bytearray(1), [0], [0]
    before = b""
    # In sorted order each token continues the way to the one before it, or leaves it once.
    for token, token_id in sorted((token, token_id) for token_id, token in tokens.items() if token):
        shared = _shared(before, token)
        path[shared + 1 :] = range(len(label), len(label) + len(token) - shared)
        parent += path[shared:-1] if len(token) > shared else []
        label += token[shared:]
        depth.extend(range(shared + 1, len(token) + 1))
        node_of[token_id] = path[-1]
        before = token
    byte, levels = np.frombuffer(bytes(label), np.uint8), np.array(depth, np.int32)
    below = _below(byte, levels, np.array(parent, np.intp))
    return TokenTrie(byte, levels, _ends(depth), below, node_of)


def _shared(a: bytes, b: bytes) -> int:
    """The length of the common beginning."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    return next(i for i in range(length) if a[i] != b[i])


def _ends(depth: list[int]) -> NDArray[np.int32]:
    """For each node the next one that is not deeper, or N."""
    ends = np.full(len(depth), len(depth), np.int32)
    open_nodes: list[int] = []  # the way from the root to the node before
    for node, level in enumerate(depth):
        for closed in open_nodes[level:]:
            ends[closed] = node
        open_nodes[level:] = [node]
    return ends


def _below(
    byte: NDArray[np.uint8], depth: NDArray[np.int32], parent: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """For each node the set of its descendants' bytes."""
    own = np.zeros((len(byte), 4), np.uint64)
    own[np.arange(len(byte)), byte // 64] = np.uint64(1) << (byte % 64).astype(np.uint64)
    below = np.zeros_like(own)
    for level in range(int(depth.max()), 0, -1):
        nodes = np.flatnonzero(depth == level)  # siblings are neighbours here
        parents = parent[nodes]
        firsts = np.flatnonzero(np.diff(parents, prepend=-1))
        below[parents[firsts]] = np.bitwise_or.reduceat(own[nodes] | below[nodes], firsts, axis=0)
    return below
