"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the last byte of a range is left out": (
        "if first <= byte <= last:",
        "if first <= byte < last:",
    ),
    "a match may end before the text does": (
        "            if state is None:\n                return False\n",
        "            if state is None or state in self.accepting:\n                break\n",
    ),
    "every state accepts": ("return state in self.accepting", "return state is not None"),
    "surrogates are encoded": (
        "(0x800, 0xD7FF), (0xE000, 0xFFFF),",
        "(0x800, 0xFFFF),",
    ),
    "the shortest encodings end one too early": (
        "((0, 0x7F), (0x80, 0x7FF),",
        "((0, 0x7E), (0x80, 0x7FF),",
    ),
    "first and last byte are ranges of their own": (
        "for bits in (6, 12, 18):",
        "for bits in ():",
    ),
    "only the last byte is cut off": ("for bits in (6, 12, 18):", "for bits in (6,):"),
    "the dot is any character": (
        "_Characters(_others(((10, 10),)))",
        "_Characters(EVERY_CHARACTER)",
    ),
    "a negated class is the class": (
        "if negated else _normal(ranges)",
        "if 0 else _normal(ranges)",
    ),
    "the upper-case classes are the lower-case ones": (
        "return ranges if letter.islower() else _others(ranges)",
        "return ranges",
    ),
    "the end of a class's range is left out": (
        "ranges.append((low, high))",
        "ranges.append((low, max(low, high - 1)))",
    ),
    "+ is *": ('("+", 1, None)', '("+", 0, None)'),
    "? is {1}": ('("?", 0, 1)', '("?", 1, 1)'),
    "{m,} is {m}": ("int(high) if high else None", "int(high) if high else int(low)"),
    "{m,n} is {m,}": ("        if node.most is None:\n", "        if True:\n"),
    "a counted repetition happens once less": (
        "for _ in range(node.most - node.least):",
        "for _ in range(node.most - node.least - 1):",
    ),
    "alternatives share their beginning with a loop": (
        "                begin = self.state()\n"
        "                self.empty_moves[source].append(begin)\n"
        "                self.empty_moves[self.translate(branch, begin)].append(target)\n",
        "                self.empty_moves[self.translate(branch, target)].append(target)\n"
        "                self.empty_moves[source].append(target)\n",
    ),
    "only the first alternative": (
        "for branch in node.branches:",
        "for branch in node.branches[:1]:",
    ),
    "an alternative takes only one piece": (
        'while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":',
        'if self.at < len(self.pattern) and self.pattern[self.at] not in "|)":',
    ),
    "lazy repetitions are not taken": ('        self.take("?")\n', ""),
    "a search is a full match": ("if self.search and not nesting:", "if False:"),
    "a search begins where the text does": ("*([] if from_start else [anything])", "*([])"),
    "$ binds nothing": ("*([] if to_end else [anything])", "anything"),
    "characters are always spelled in UTF-8": (
        "nfa = _Nfa(pattern, spell or utf8_sequences)",
        "nfa = _Nfa(pattern, utf8_sequences)",
    ),
    "characters are spelled only by their last byte": (
        "self.moves[source].append((*sequence[0], ends[sequence[1:]]))",
        "self.moves[source].append((*sequence[-1], target))",
    ),
    "dead ends stay": (
        "alive = _reachable([accept], back.__getitem__)",
        "alive = {start, *range(len(back))}",
    ),
    "subsets without their empty moves": (
        "found = _reachable(states, nfa.empty_moves.__getitem__) & alive",
        "found = set(states) & alive",
    ),
    "overlapping moves lead to the first alone": (
        "for i in range(place[first], place[last + 1]):\n            targets[i].add(target)",
        "for i in range(place[first], place[last + 1]):\n"
        "            targets[i] = targets[i] or {target}",
    ),
    "moves are cut one byte too late": (
        "yield cuts[i], cuts[i + 1] - 1,",
        "yield cuts[i], cuts[i + 1],",
    ),
    "neighbouring moves are joined whatever they lead to": (
        "if merged and merged[-1][1:] == (first - 1, target):",
        "if merged and merged[-1][1] == first - 1:",
    ),
    "the wrong states accept": (
        "for subset, number in numbers.items() if accept in subset",
        "for subset, number in numbers.items() if start in subset",
    ),
    "the number of subsets is not limited": (
        "if len(numbers) > MAX_DFA_STATES or work > MAX_SUBSET_WORK:",
        "if len(numbers) > 10**9:",
    ),
    "the number of pieces is not limited": ("if len(self.moves) == MAX_NFA_STATES:", "if False:"),
    "positions count from one": (
        "place = self.at if at is None else at",
        "place = 1 + (self.at if at is None else at)",
    ),
    "a ) too many ends the pattern": (
        '        if self.at < len(self.pattern):\n            raise self.error("a ) without',
        '        if False:\n            raise self.error("a ) without',
    ),
    "look-ahead is a group": (
        'if self.take("?") and not self.take(":"):',
        'if self.take("?") and not (self.take(":") or self.take("=")):',
    ),
    "anchors within are characters": ('if character in "^$":', 'if character in "":'),
    "an unknown escape is its letter": (
        "if letter.isalnum() or not letter.isascii() or not letter:",
        "if not letter:",
    ),
}
