"""A finite set of words as an automaton: the tree of their common beginnings (a trie)."""

from collections.abc import Iterable

from groundup.engine.regular_expression import Dfa

__all__ = ["word_automaton"]


def word_automaton(words: Iterable[bytes]) -> Dfa:
    """The automaton that matches exactly these words, at least one; the empty word may be one."""
    children: list[dict[int, int]] = [{}]
    accepting = set()
    for word in words:
        state = 0
        for byte in word:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
            state = children[state][byte]
        accepting.add(state)
    return Dfa(
        tuple(tuple((b, b, target) for b, target in sorted(c.items())) for c in children),
        frozenset(accepting),
    )
