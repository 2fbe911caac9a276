"""Which tokens an automaton allows next: it is run over all tokens of the vocabulary at once.

Tokens with the same beginning share its run: the walk goes over the vocabulary's trie, and leaves a
branch at the first byte that the automaton refuses. The walk itself is compiled and looks its moves
up in a table, which is filled with the automaton's states as the walk first comes to them.

Sources: Willard and Louf 2023, "Efficient guided generation for large language models", section 3
(masks by automaton state); Dong et al. 2024, "XGrammar", section 3 (a trie's shared beginnings).
"""

from collections import OrderedDict
from collections.abc import Collection

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundup.engine.pushdown_automaton import PushdownAutomaton, State
from groundup.engine.token_trie import TokenTrie

__all__ = ["TokenMask"]

MAX_TABLE_ROWS = 50_000  # beyond it, the table is begun anew
MAX_CACHED_BYTES = 32_000_000  # of masks


class TokenMask:
    """The masks of one automaton over one vocabulary. To be used by one thread."""

    def __init__(
        self, automaton: PushdownAutomaton, trie: TokenTrie, end_ids: Collection[int] = ()
    ) -> None:
        """Arguments:
        automaton: reads the bytes.
        trie: of the tokens that may be written.
        end_ids: allowed exactly where the text may end; they must not be in the trie.
        """
        self._automaton = automaton
        self._trie = trie
        self._end_ids = np.array(sorted(end_ids), np.int64)
        self._classes = automaton.byte_classes[trie.byte]  # (N,)
        self._row_at = np.zeros(int(trie.depth.max()) + 1, np.int32)
        self._masks: OrderedDict[State, NDArray[np.bool_]] = OrderedDict()
        self._forget()

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Shape (V,): which tokens may follow. Kept for later; not to be written to."""
        known = self._masks.get(state)
        if known is not None:
            self._masks.move_to_end(state)
            return known
        if len(self._states) > MAX_TABLE_ROWS:
            self._forget()
        mask = self._reached(state)[self._trie.node_of]
        mask[self._end_ids] = self._automaton.accepts(state)
        mask.flags.writeable = False
        self._masks[state] = mask
        if len(self._masks) * mask.nbytes > MAX_CACHED_BYTES:
            self._masks.popitem(last=False)
        return mask

    def advance(self, state: State, token: bytes) -> State | None:
        """The state after a token's bytes, or None where they may not follow."""
        if len(self._states) > MAX_TABLE_ROWS:
            self._forget()
        row = self._row_of(state)
        for c in self._automaton.byte_classes[np.frombuffer(token, np.uint8)].tolist():
            self._fill(row)
            row = int(self._table[row, c])
            if row < 0:
                return None
        return self._states[row]

    def _reached(self, state: State) -> NDArray[np.bool_]:
        """Shape (N,): the nodes of the trie that the automaton comes to; never the root."""
        trie = self._trie
        reached = np.zeros(len(trie.byte), np.bool_)
        row = self._row_of(state)
        self._fill(row)
        nodes, rows = np.zeros(1, np.int32), np.array([row], np.int32)
        # Where the walk comes to a state whose row is empty, it leaves the branch and notes it.
        while len(nodes):
            nodes, rows = _walk(
                self._classes, trie.depth, trie.end, self._table, self._filled, nodes, rows,
                self._row_at, reached,
            )  # fmt: skip
            for row in set(rows.tolist()):
                self._fill(row)
        return reached

    def _forget(self) -> None:
        self._rows: dict[State, int] = {}
        self._states: list[State] = []
        self._table = np.full((256, int(self._automaton.byte_classes[-1]) + 1), -1, np.int32)
        self._filled = np.zeros(256, np.bool_)

    def _row_of(self, state: State) -> int:
        row = self._rows.get(state)
        if row is None:
            row = self._rows[state] = len(self._states)
            self._states.append(state)
            if row == len(self._filled):
                self._table = np.concatenate([self._table, np.full_like(self._table, -1)])
                self._filled = np.concatenate([self._filled, np.zeros_like(self._filled)])
        return row

    def _fill(self, row: int) -> None:
        if self._filled[row]:
            return
        moves = {c: self._row_of(s) for c, s in self._automaton.row(self._states[row]).items()}
        self._table[row, list(moves)] = list(moves.values())
        self._filled[row] = True


@njit(cache=True)
def _walk(
    classes: NDArray[np.uint8],
    depth: NDArray[np.int32],
    end: NDArray[np.int32],
    table: NDArray[np.int32],
    filled: NDArray[np.bool_],
    nodes: NDArray[np.int32],
    rows: NDArray[np.int32],
    row_at: NDArray[np.int32],
    reached: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Walk the branches below the nodes, with the automaton in the state of these rows there.

    Marks in ``reached`` where it comes to; returns the nodes and rows at which it had to wait.
    ``row_at`` is room for the rows on the way to a node, one for each depth.
    """
    waiting_nodes = np.empty(256, np.int32)
    waiting_rows = np.empty(256, np.int32)
    count = 0
    for start in range(len(nodes)):
        root = nodes[start]
        row_at[depth[root]] = rows[start]
        node = root + 1
        while node < end[root]:
            level = depth[node]
            row = table[row_at[level - 1], classes[node]]
            if row < 0:
                node = end[node]
                continue
            reached[node] = True
            if end[node] == node + 1:
                node += 1
            elif filled[row]:
                row_at[level] = row
                node += 1
            else:
                if count == len(waiting_nodes):
                    waiting_nodes = np.concatenate((waiting_nodes, np.empty_like(waiting_nodes)))
                    waiting_rows = np.concatenate((waiting_rows, np.empty_like(waiting_rows)))
                waiting_nodes[count] = node
                waiting_rows[count] = row
                count += 1
                node = end[node]
    return waiting_nodes[:count], waiting_rows[:count]
