"""Intersection and difference of two automata over bytes, by running both at once.

Source: Hopcroft, Motwani and Ullman 2006, "Introduction to automata theory", section 4.2.1.
"""

from groundup.engine.regular_expression import Dfa
from groundup.errors import GroundupError

__all__ = ["difference", "intersection"]

MAX_PAIRS = 20_000  # of states, one of each automaton

Pair = tuple[int, int | None]  # None: the second automaton has stopped


def intersection(left: Dfa, right: Dfa) -> Dfa | None:
    """What both match, or None where that is nothing. Raises: GroundupError if too large."""
    return _product(left, right, keep_stopped=False)


def difference(left: Dfa, right: Dfa) -> Dfa | None:
    """What left matches and right does not, or None where that is nothing.

    Raises: GroundupError if too large.
    """
    return _product(left, right, keep_stopped=True)


def _product(left: Dfa, right: Dfa, keep_stopped: bool) -> Dfa | None:
    numbers: dict[Pair, int] = {(0, 0): 0}
    waiting: list[Pair] = [(0, 0)]
    moves: list[list[tuple[int, int, int]]] = []
    for a, b in waiting:
        found = []
        for first, last, pair in _joint_moves(left, right, a, b):
            if pair[1] is None and not keep_stopped:
                continue
            if pair not in numbers:
                numbers[pair] = len(numbers)
                waiting.append(pair)
            found.append((first, last, numbers[pair]))
        moves.append(found)
        if len(numbers) > MAX_PAIRS:
            raise GroundupError(
                f"combining two conditions on a text needs more than {MAX_PAIRS:,} states; "
                "use a smaller maxLength, or say all in one pattern"
            )
    accepting = {
        number
        for (a, b), number in numbers.items()
        if a in left.accepting and (b in right.accepting) != keep_stopped
    }
    return _trimmed(moves, accepting)


def _joint_moves(left: Dfa, right: Dfa, a: int, b: int | None) -> list[tuple[int, int, Pair]]:
    """The left automaton's moves, cut where the right one's begin and end."""
    found: list[tuple[int, int, Pair]] = []
    others = () if b is None else right.transitions[b]
    for first, last, target in left.transitions[a]:
        at = first
        for low, high, other in others:
            low, high = max(low, at), min(high, last)
            if low > high:
                continue
            if at < low:
                found.append((at, low - 1, (target, None)))
            found.append((low, high, (target, other)))
            at = high + 1
        if at <= last:
            found.append((at, last, (target, None)))
    return found


def _trimmed(moves: list[list[tuple[int, int, int]]], accepting: set[int]) -> Dfa | None:
    """Without the states from which none that accepts can be reached."""
    back: list[list[int]] = [[] for _ in moves]
    for state, found in enumerate(moves):
        for _, _, target in found:
            back[target].append(state)
    alive, waiting = set(accepting), list(accepting)
    while waiting:
        for state in back[waiting.pop()]:
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    if 0 not in alive:
        return None
    numbers = {state: number for number, state in enumerate(sorted(alive))}
    return Dfa(
        tuple(
            tuple((f, t, numbers[target]) for f, t, target in moves[state] if target in alive)
            for state in numbers
        ),
        frozenset(numbers[state] for state in accepting),
    )
