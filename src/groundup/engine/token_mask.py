"""Which tokens an automaton allows next: it is run over all tokens of the vocabulary at once.

Tokens with the same beginning share its run: the walk goes over the vocabulary's trie, and leaves a
branch at the first byte that the automaton refuses. A branch whose bytes all leave the automaton
where it is (the letters within a JSON string) is taken as a whole. The walk itself is compiled and
looks moves up in a table, which is filled with the automaton's states as the walk comes to them.

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
ROWS_AHEAD = 16  # filled with each row that is asked for: the walk, or the text, soon comes there


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
        bits = np.eye(256, dtype=np.uint8)
        of_class = [bits[automaton.byte_classes == c].sum(axis=0, dtype=np.uint8)
                    for c in range(int(automaton.byte_classes[-1]) + 1)]  # fmt: skip
        self._bytes_of_class = np.packbits(of_class, axis=1, bitorder="little").view(np.uint64)
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
                self._classes, trie.depth, trie.end, trie.below, self._table, self._stays,
                self._filled, nodes, rows, self._row_at, reached,
            )  # fmt: skip
            for row in dict.fromkeys(rows.tolist()):
                self._fill(row)
        return reached

    def _forget(self) -> None:
        self._rows: dict[State, int] = {}
        self._states: list[State] = []
        self._table = np.full((256, len(self._bytes_of_class)), -1, np.int32)
        self._stays = np.zeros((256, 4), np.uint64)  # the bytes that lead back to the same state
        self._filled = np.zeros(256, np.bool_)

    def _row_of(self, state: State) -> int:
        row = self._rows.get(state)
        if row is None:
            row = self._rows[state] = len(self._states)
            self._states.append(state)
            if row == len(self._filled):
                self._table = np.concatenate([self._table, np.full_like(self._table, -1)])
                self._stays = np.concatenate([self._stays, np.zeros_like(self._stays)])
                self._filled = np.concatenate([self._filled, np.zeros_like(self._filled)])
        return row

    def _fill(self, row: int) -> None:
        waiting = [row]
        for each in waiting:
            if self._filled[each]:
                continue
            for state, classes in self._automaton.moves(self._states[each]):
                target = self._row_of(state)
                self._table[each, classes] = target
                if target == each:
                    self._stays[each] = np.bitwise_or.reduce(self._bytes_of_class[list(classes)])
                elif len(waiting) <= ROWS_AHEAD:
                    waiting.append(target)
            self._filled[each] = True


@njit(cache=True)
def _walk(
    classes: NDArray[np.uint8],
    depth: NDArray[np.int32],
    end: NDArray[np.int32],
    below: NDArray[np.uint64],
    table: NDArray[np.int32],
    stays: NDArray[np.uint64],
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
                if (
                    below[node, 0] & ~stays[row, 0]
                    | below[node, 1] & ~stays[row, 1]
                    | below[node, 2] & ~stays[row, 2]
                    | below[node, 3] & ~stays[row, 3]
                ) == 0:
                    reached[node + 1 : end[node]] = True
                    node = end[node]
                else:
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
