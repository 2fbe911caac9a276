"""A pushdown automaton over bytes: finite automata that call one another, with a stack.

JSON nests, so no finite automaton reads it. A grammar here is a set of rules. Each rule is a finite
automaton whose moves read bytes, read nothing, or call a rule, after which the move's target goes
on (a recursive transition network). It may be nondeterministic: a state of the run is the set of
all configurations in which it may be, each a state with the stack of calls to return to.

Sources: Woods 1970, "Transition network grammars for natural language analysis"; Hopcroft, Motwani
and Ullman 2006, "Introduction to automata theory", section 6.1; Dong et al. 2024, "XGrammar",
section 3 (a byte-level pushdown automaton that steers a language model).
"""

from heapq import heappop, heappush
from itertools import groupby, islice
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from groundup.engine.regular_expression import Dfa
from groundup.errors import GroundupError

__all__ = ["Grammar", "PushdownAutomaton", "State"]

MAX_GRAMMAR_STATES = 200_000
MAX_DEPTH = 64  # calls in one another
# An ambiguous grammar may come to a place by ever more ways. Beyond so many configurations only the
# first few of each place are kept. What is written still follows the grammar, and every state can
# still be completed; some texts of the grammar can no longer be written.
MAX_CONFIGURATIONS = 256
MAX_STACKS_OF_A_PLACE = 8
MAX_EMPTY_MOVES = 20_000  # in a row, without a byte

# Where to return to: () or (depth, the grammar state to go on with, the stack below).
Stack = tuple[()] | tuple[int, int, "Stack"]
Configuration = tuple[int, Stack]  # the grammar state and its stack
State = frozenset[Configuration]

_END = -1  # the grammar state of the configuration that says: the text may end here
_NEVER = 1 << 30  # calls needed from a state that can never return


class Grammar:
    """Rules under construction. A rule is named by its first state; ``state()`` begins one.

    States are numbered from 0 in the order in which they are made. From a state one may read a
    byte, read nothing, or call a rule, which reads a text of its own. All methods but ``state()``
    begin at a given state and return one that they make, at which the reading goes on. The
    attributes may also be added to from outside, which is how rules get loops and ends:

    - ``moves``: for each state a list of ``(first, last, target)``: a byte from first to last,
      both included, leads to the target. Moves may overlap.
    - ``empty_moves``: for each state a list of targets that are reached without a byte.
    - ``calls``: for each state a list of ``(rule, target)``: the rule is read from its first state
      to one of its ends, and then the target goes on.
    - ``returns``: the set of states at which a rule may end.

    Example: brackets in one another, ``[[]]``:
    ``rule = g.state()``, ``inside = g.text(rule, b"[")``, ``after = g.call(inside, rule)``,
    ``g.empty_moves[inside].append(after)``, ``g.returns.add(g.text(after, b"]"))``.
    """

    def __init__(self) -> None:
        """A grammar without states."""
        self.moves: list[list[tuple[int, int, int]]] = []  # (first byte, last byte, target)
        self.empty_moves: list[list[int]] = []
        self.calls: list[list[tuple[int, int]]] = []  # (rule, where to go on)
        self.returns: set[int] = set()  # states at which a rule may end

    def state(self) -> int:
        """A new state, from which nothing can be read yet.

        Raises:
            GroundupError: there are ``MAX_GRAMMAR_STATES`` already.
        """
        if len(self.moves) == MAX_GRAMMAR_STATES:
            raise GroundupError(
                f"the definition needs a grammar of more than {MAX_GRAMMAR_STATES:,} states; use "
                "fewer properties, shorter lists, or smaller minLength, maxLength and maxItems"
            )
        self.moves.append([])
        self.empty_moves.append([])
        self.calls.append([])
        return len(self.moves) - 1

    def text(self, source: int, text: bytes) -> int:
        """Read this text from a state on; returns the state after it."""
        for byte in text:
            target = self.state()
            self.moves[source].append((byte, byte, target))
            source = target
        return source

    def automaton(self, source: int, dfa: Dfa) -> int:
        """Read what an automaton matches from a state on; returns the state after it."""
        copies = [self.state() for _ in dfa.transitions]
        target = self.state()
        for copy, moves in zip(copies, dfa.transitions, strict=True):
            self.moves[copy] = [(first, last, copies[to]) for first, last, to in moves]
        for accepting in dfa.accepting:
            self.empty_moves[copies[accepting]].append(target)
        self.empty_moves[source].append(copies[0])
        return target

    def call(self, source: int, rule: int) -> int:
        """Read what a rule reads from a state on; returns the state after it."""
        target = self.state()
        self.calls[source].append((rule, target))
        return target


class PushdownAutomaton:
    """Runs a grammar. States are immutable values, compare by what they hold, and can be kept.

    A state is the set of all configurations in which the run may be: those that are reached
    without a further byte, and from which one may be read, or the text may end.

    Every state that is reached can be completed to a text that the grammar reads, with at most
    ``MAX_DEPTH`` calls in one another: moves without such an end do not exist. So what follows the
    moves is never stuck, and a rule that could only go on for ever is never entered. A call after
    which its rule has nothing left but to return leaves its place to the called rule, and is no
    level: a list that is written by right recursion may have any length.

    An ambiguous grammar is bounded by ``MAX_CONFIGURATIONS`` and ``MAX_STACKS_OF_A_PLACE``, as
    said there; left recursion and circles of empty moves end.

    ``byte_classes``: shape (256,), uint8: the class of each byte. Bytes that no move tells apart
    have the same class; the classes are numbered from 0, rising along the bytes.

    Time: a byte costs about the configurations of the state, whatever the length of the text. The
    least number of calls that each state needs is found once for all, in O(E log E) for E moves
    and calls (Knuth 1977, "A generalization of Dijkstra's algorithm").
    """

    def __init__(self, grammar: Grammar, rule: int) -> None:
        """Run the grammar from a rule on.

        Args:
            grammar: not changed, here or later.
            rule: its first state.

        Raises:
            GroundupError: nothing can be read that way with at most ``MAX_DEPTH`` levels.
        """
        # A call with nothing to do afterwards leaves the caller's place to the called.
        last = {to: _only_returns(grammar, to) for calls in grammar.calls for _, to in calls}
        needs = _calls_needed(grammar, last)
        if needs[rule] > MAX_DEPTH:
            raise GroundupError(
                "nothing can be written that satisfies the definition"
                + (f" with at most {MAX_DEPTH} levels" if needs[rule] < _NEVER else "")
                + "; look for conditions that exclude each other, or a definition that needs itself"
            )
        self._needs = needs
        self._returns = grammar.returns
        self._empty_moves = [
            [target for target in targets if needs[target] < _NEVER]
            for targets in grammar.empty_moves
        ]
        self._calls = [
            [
                (called, target, needs[called], last[target])
                for called, target in calls
                if needs[called] < _NEVER and needs[target] < _NEVER
            ]
            for calls in grammar.calls
        ]
        moves = [[move for move in moves if needs[move[2]] < _NEVER] for moves in grammar.moves]
        edges = {edge for found in moves for first, last, _ in found for edge in (first, last + 1)}
        inner = np.zeros(257, np.int64)
        inner[sorted(edges - {0})] = 1
        self.byte_classes: NDArray[np.uint8] = np.cumsum(inner[:256]).astype(np.uint8)
        classes = self.byte_classes.tolist()
        self._moves = [_by_target(found, classes) for found in moves]
        self._closures: dict[Configuration, State] = {}
        self._start = self._closure(rule, ())

    def start(self) -> State:
        """The state before the first byte."""
        return self._start

    def accepts(self, state: State) -> bool:
        """Whether the text may end in this state."""
        return (_END, ()) in state

    def moves(self, state: State) -> list[tuple[State, tuple[int, ...]]]:
        """The states that one byte leads to, each with the classes of bytes that lead there.

        The classes of different states do not overlap; bytes of no class may not follow. Each
        state is there once, and none is empty.
        """
        if len(state) == 1:
            [(position, stack)] = state
            if position == _END:
                return []
            closures = [(self._closure(to, stack), c) for to, c in self._moves[position]]
            return [(_bounded(after), classes) for after, classes in closures if after]
        found: dict[int, State] = {}
        for position, stack in state:
            for target, classes in self._moves[position] if position != _END else ():
                after = self._closure(target, stack)
                for c in classes:
                    before = found.get(c)
                    found[c] = after if before is None else before | after
        by_state: dict[State, list[int]] = {}
        for c, after in found.items():
            if after:
                by_state.setdefault(after, []).append(c)
        return [(_bounded(after), tuple(classes)) for after, classes in by_state.items()]

    def step(self, state: State, byte: int) -> State | None:
        """The state after one byte, 0 to 255, or None where it may not follow."""
        c = int(self.byte_classes[byte])
        return next((after for after, classes in self.moves(state) if c in classes), None)

    def matches(self, text: bytes) -> bool:
        """Whether the grammar reads the whole text."""
        state: State | None = self._start
        for byte in text:
            if state is None:
                return False
            state = self.step(state, byte)
        return state is not None and self.accepts(state)

    def _closure(self, position: int, stack: Stack) -> State:
        """All configurations that are reached without a byte, and that read one or end."""
        known = self._closures.get((position, stack))
        if known is not None:
            return known
        found: list[Configuration] = []
        seen = {(position, stack)}
        waiting = [(position, stack)]
        for place, below in waiting:
            depth = below[0] if below else 0
            if depth + self._needs[place] > MAX_DEPTH:
                continue
            if self._moves[place]:
                found.append((place, below))
            reached = [(target, below) for target in self._empty_moves[place]]
            if place in self._returns:
                if below:
                    reached.append((below[1], below[2]))
                else:
                    found.append((_END, ()))
            for called, target, needed, nothing_after in self._calls[place]:
                if nothing_after:
                    reached.append((called, below))
                elif depth + max(1 + needed, self._needs[target]) <= MAX_DEPTH:
                    reached.append((called, (depth + 1, target, below)))
            for configuration in reached:
                if configuration not in seen and len(seen) < MAX_EMPTY_MOVES:
                    seen.add(configuration)
                    waiting.append(configuration)
        state = frozenset(found)
        if len(self._closures) >= 50_000:
            self._closures.clear()
        self._closures[position, stack] = state
        return state


def _bounded(state: State) -> State:
    if len(state) <= MAX_CONFIGURATIONS:
        return state
    kept: list[Configuration] = []
    for _, same_place in groupby(sorted(state), key=itemgetter(0)):
        kept += islice(same_place, MAX_STACKS_OF_A_PLACE)
    return frozenset(kept)


def _by_target(
    moves: list[tuple[int, int, int]], classes: list[int]
) -> list[tuple[int, tuple[int, ...]]]:
    """Moves as (target, byte classes that lead there)."""
    found: dict[int, set[int]] = {}
    for first, last, target in moves:
        found.setdefault(target, set()).update(range(classes[first], classes[last] + 1))
    return [(target, tuple(sorted(c))) for target, c in found.items()]


def _only_returns(grammar: Grammar, state: int) -> bool:
    """Whether nothing is left to do in a rule but to return."""
    seen = {state}
    waiting = [state]
    for place in waiting:
        if grammar.moves[place] or grammar.calls[place]:
            return False
        for target in grammar.empty_moves[place]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return any(place in grammar.returns for place in seen)


def _calls_needed(grammar: Grammar, last: dict[int, bool]) -> list[int]:
    """For each state, how many calls deep a rule must at least go to return from there.

    A move needs what its target needs. A call needs what is needed afterwards, and one more than
    the called rule needs (without the one if it is the last thing to do). The least is found by
    settling states in rising order, from those that return (Knuth 1977, "A generalization of
    Dijkstra's algorithm"). States from which no rule can return keep `_NEVER`.
    """
    before: list[list[int]] = [[] for _ in grammar.moves]  # by a move
    callers: list[list[tuple[int, int, int]]] = [[] for _ in grammar.moves]
    for source, moves in enumerate(grammar.moves):
        for target in [*(move[2] for move in moves), *grammar.empty_moves[source]]:
            before[target].append(source)
        for call in grammar.calls[source]:
            for part in call:
                callers[part].append((source, *call))
    needs = [_NEVER] * len(grammar.moves)
    heap = [(0, state) for state in sorted(grammar.returns)]
    while heap:
        need, state = heappop(heap)
        if needs[state] < _NEVER:
            continue
        needs[state] = need
        for source in before[state]:
            heappush(heap, (need, source))
        for source, called, target in callers[state]:
            if needs[called] < _NEVER and needs[target] < _NEVER:
                inside = needs[called] + (0 if last[target] else 1)
                heappush(heap, (max(inside, needs[target]), source))
    return needs
