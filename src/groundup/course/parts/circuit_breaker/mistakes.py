"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "it never opens": ("            self._open()\n\n", "            pass\n\n"),
    "any failure opens it": ("if calls >= self._min_calls and", "if"),
    "one call too many is asked for": ("calls >= self._min_calls", "calls > self._min_calls"),
    "more than the share is asked for": (
        "/ calls >= self._failure_rate",
        "/ calls > self._failure_rate",
    ),
    "the share of failures to successes": (
        "self._failures / calls >= self._failure_rate",
        "self._failures >= self._failure_rate * max(1, calls - self._failures)",
    ),
    "the product is compared, which rounds": (
        "self._failures / calls >= self._failure_rate",
        "self._failures >= self._failure_rate * calls",
    ),
    "failures are counted for ever": (
        "while self._ends[0][0] <= now - self._window:",
        "while False:",
    ),
    "the window's edge counts": ("<= now - self._window", "< now - self._window"),
    "one old end leaves at a time": (
        "while self._ends[0][0] <= now - self._window:",
        "if self._ends[0][0] <= now - self._window:",
    ),
    "an old end leaves, its failure stays": (
        "self._failures -= self._ends.popleft()[1]",
        "self._ends.popleft()",
    ),
    "successes are not counted": (
        "        self._ends.append((now, failed))\n",
        "        if not failed:\n            return\n        self._ends.append((now, failed))\n",
    ),
    "many probes at a time": (
        'if state == "open" or (state == "half-open" and self._probing):',
        'if state == "open":',
    ),
    "an open breaker lets calls through": (
        'if state == "open" or (state == "half-open" and self._probing):',
        'if state == "half-open" and self._probing:',
    ),
    "it stays open for ever": (
        'return "open" if self._clock() < self._open_until else "half-open"',
        'return "open"',
    ),
    "it closes by itself": ('else "half-open"', 'else "closed"'),
    "its last instant is open still": (
        "self._clock() < self._open_until else",
        "self._clock() <= self._open_until else",
    ),
    "a failed probe closes it": (
        "            if failed:\n                self._open()",
        "            if not failed:\n                self._open()",
    ),
    "the probe stays under way": (
        "        if self._probing:\n            self._probing = False\n            if failed:",
        "        if self._probing:\n            if failed:",
    ),
    "the time does not grow": (
        "min(2 * self._next_open_seconds, self._max_open_seconds)",
        "self._open_seconds",
    ),
    "the time grows without end": (
        "min(2 * self._next_open_seconds, self._max_open_seconds)",
        "2 * self._next_open_seconds",
    ),
    "the time grows by the first": (
        "min(2 * self._next_open_seconds,",
        "min(self._open_seconds + self._next_open_seconds,",
    ),
    "closing keeps the long time": ("        self._next_open_seconds = self._open_seconds\n", ""),
    "closing forgets nothing": (
        "        self._ends.clear()\n        self._failures = 0\n",
        "        pass\n",
    ),
    "closing forgets the ends only": (
        "        self._ends.clear()\n        self._failures = 0\n",
        "        self._ends.clear()\n",
    ),
    "late ends count": ("if ticket != self._era:", "if False:"),
    "opening begins no era": (
        ", self._max_open_seconds)\n        self._era += 1\n",
        ", self._max_open_seconds)\n",
    ),
    "a probe given up blocks for ever": (
        "if ticket == self._era and self._probing:",
        "if False:",
    ),
    "a probe given up may still end": (
        "            self._probing = False\n            self._era += 1\n",
        "            self._probing = False\n",
    ),
    "anyone gives up the probe": ("if ticket == self._era and self._probing:", "if self._probing:"),
    "a call given up is a failure": (
        "        if ticket == self._era and self._probing:\n"
        "            self._probing = False\n            self._era += 1\n",
        "        self.end(ticket, failed=True)\n",
    ),
    "retry_after is the moment": ("max(0.0, self._open_until - self._clock())", "self._open_until"),
    "retry_after goes below zero": (
        "max(0.0, self._open_until - self._clock())",
        "self._open_until - self._clock()",
    ),
    "no number is looked at": ("if not 0 < value < math.inf:", "if value == 0:"),
    "the longest may be the shortest": (
        "if not open_seconds <= max_open_seconds < math.inf:",
        "if max_open_seconds <= 0:",
    ),
    "any share will do": ("if not 0 < failure_rate <= 1:", "if failure_rate <= 0:"),
}
