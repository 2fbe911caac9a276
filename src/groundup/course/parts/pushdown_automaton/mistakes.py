"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

TAIL = """                if nothing_after:
                    reached.append((called, below))
                elif depth"""

MISTAKES: dict[str, tuple[str, str]] = {
    # The grammar.
    "one state too many": (
        "if len(self.moves) == MAX_GRAMMAR_STATES:",
        "if len(self.moves) > MAX_GRAMMAR_STATES:",
    ),
    "a text is its first byte": (
        "for byte in text:\n            target",
        "for byte in text[:1]:\n            target",
    ),
    "a copy leads into the automaton's own states": (
        "[(first, last, copies[to]) for",
        "[(first, last, to) for",
    ),
    "only the first state accepts": (
        "for accepting in dfa.accepting:",
        "for accepting in dfa.accepting & {0}:",
    ),
    "a call goes on where it began": (
        "self.calls[source].append((rule, target))",
        "self.calls[source].append((rule, source))",
    ),
    # The run.
    "a call never returns": ("reached.append((below[1], below[2]))", "pass"),
    "a return forgets the calls below": (
        "reached.append((below[1], below[2]))",
        "reached.append((below[1], ()))",
    ),
    "a return stays in the stack": (
        "reached.append((below[1], below[2]))",
        "reached.append((below[1], below))",
    ),
    "the text may end within a call": (
        "                if below:\n                    reached",
        "                found.append((_END, ()))\n"
        "                if below:\n                    reached",
    ),
    "the first of several ways alone": (
        "found[c] = after if before is None else before | after",
        "found[c] = after if before is None else before",
    ),
    "states that are reached in one way are listed twice": (
        "        for c, after in found.items():\n"
        "            if after:\n"
        "                by_state.setdefault(after, []).append(c)\n"
        "        return [(_bounded(after), tuple(classes)) for after, classes in by_state.items()]",
        "        return [(_bounded(after), (c,)) for c, after in found.items() if after]",
    ),
    "an empty state is reached": (
        "return [(_bounded(after), classes) for after, classes in closures if after]",
        "return [(_bounded(after), classes) for after, classes in closures]",
    ),
    "every state accepts": ("return (_END, ()) in state", "return bool(state)"),
    "a prefix matches": (
        "return state is not None and self.accepts(state)",
        "return state is not None",
    ),
    "a byte is taken for its class": (
        "c = int(self.byte_classes[byte])",
        "c = min(byte, int(self.byte_classes[-1]))",
    ),
    "empty moves are followed once": (
        "                    waiting.append(configuration)",
        "                    if place == position:\n                        waiting.append(configuration)",  # noqa: E501
    ),
    "a place that was seen is not looked at with another stack": (
        "if configuration not in seen and len(seen)",
        "if configuration[0] not in {c[0] for c in seen} and len(seen)",
    ),
    "circles of empty moves never end": (
        "if configuration not in seen and len(seen) < MAX_EMPTY_MOVES:",
        "if True:",
    ),
    "closures are kept by place alone": (
        "known = self._closures.get((position, stack))",
        "known = next((s for (p, _), s in self._closures.items() if p == position), None)",
    ),
    "only the first call of a place": (
        "for called, target, needed, nothing_after in self._calls[place]:",
        "for called, target, needed, nothing_after in self._calls[place][:1]:",
    ),
    # Depth.
    "any depth": (
        "            if depth + self._needs[place] > MAX_DEPTH:\n                continue\n",
        "",
    ),
    "one level less": ("MAX_DEPTH = 64", "MAX_DEPTH = 63"),
    "one level more": ("MAX_DEPTH = 64", "MAX_DEPTH = 65"),
    "every call is a level": (TAIL, "                if depth"),
    "a call is begun that needs too many levels": (
        "elif depth + max(1 + needed, self._needs[target]) <= MAX_DEPTH:",
        "elif depth + 1 <= MAX_DEPTH:",
    ),
    "only moves and calls of the rule itself count as left to do": (
        "        for target in grammar.empty_moves[place]:\n            if target not in seen:",
        "        for target in ():\n            if target not in seen:",
    ),
    "whatever follows a call, it is no level": (
        "last = {to: _only_returns(grammar, to)",
        "last = {to: True",
    ),
    # Dead ends.
    "moves to dead ends stay": (
        "[move for move in moves if needs[move[2]] < _NEVER]",
        "[move for move in moves]",
    ),
    "a rule that reads nothing is run": ("if needs[rule] > MAX_DEPTH:", "if False:"),
    "a call needs no more than its rule": (
        "inside = needs[called] + (0 if last[target] else 1)",
        "inside = needs[called]",
    ),
    "every call needs one more": (
        "inside = needs[called] + (0 if last[target] else 1)",
        "inside = needs[called] + 1",
    ),
    "a call needs what comes after it alone": (
        "heappush(heap, (max(inside, needs[target]), source))",
        "heappush(heap, (needs[target], source))",
    ),
    "a call needs the sum": (
        "heappush(heap, (max(inside, needs[target]), source))",
        "heappush(heap, (inside + needs[target], source))",
    ),
    # Classes and bounds.
    "the last byte of a move is left out": (
        "range(classes[first], classes[last] + 1)",
        "range(classes[first], max(classes[last], classes[first] + 1))",
    ),
    "a class for each byte": (
        "inner[sorted(edges - {0})] = 1",
        "inner[1:256] = 1",
    ),
    "classes are cut one byte too early": ("in (first, last + 1)}", "in (first, last)}"),
    "classes are cut at beginnings alone": ("in (first, last + 1)}", "in (first,)}"),
    "ambiguity is not bounded": (
        "if len(state) <= MAX_CONFIGURATIONS:",
        "if True:",
    ),
    "a state is a list that goes on": (
        "        state = frozenset(found)\n        if len(self._closures)",
        "        state = set(found)\n        if len(self._closures)",
    ),
    "the grammar loses its dead ends": (
        "        self._needs = needs\n",
        "        self._needs = needs\n"
        "        for calls in grammar.calls:\n"
        "            calls[:] = [c for c in calls if needs[c[1]] < _NEVER]\n",
    ),
}  # fmt: skip
