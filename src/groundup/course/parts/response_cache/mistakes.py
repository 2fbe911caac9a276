"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the fields in the order of the request": ("sort_keys=True, ", ""),
    "spaces in the JSON": ('separators=(",", ":"), ', ""),
    "Python's hash": ("sha256(text.encode()).hexdigest()", "str(hash(text))"),
    "the user counts": ('        "user",\n', ""),
    "streaming counts": ('        "stream",\n', ""),
    "the user never counts, however deep": (
        "{name: _canonical(each) for name, each in value.items()}",
        '{name: _canonical(each) for name, each in value.items() if name != "user"}',
    ),
    "None counts": (
        "if name not in WITHOUT_EFFECT and value is not None",
        "if name not in WITHOUT_EFFECT",
    ),
    "0.0 is not 0": ("if isinstance(value, float) and value.is_integer():", "if False:"),
    "fractions are cut off": (
        "if isinstance(value, float) and value.is_integer():",
        "if isinstance(value, float) and abs(value) < 1e300:",
    ),
    "true is 1": (
        "if isinstance(value, float) and value.is_integer():",
        "if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):",
    ),
    "numbers in lists are left as they are": (
        "return [_canonical(each) for each in value]",
        "return list(value)",
    ),
    "draws are kept": (
        '    if asked.get("temperature", 1) != 0 and "seed" not in asked:\n        return None\n',
        "",
    ),
    "without a temperature it is 0": ('asked.get("temperature", 1)', 'asked.get("temperature", 0)'),
    "the seed 0 is no seed": ('"seed" not in asked:', 'not asked.get("seed"):'),
    "a seed is not enough": (' and "seed" not in asked:', ":"),
    "NaN is written": ("allow_nan=False", "allow_nan=True"),
    "every caller computes": ("if flight is None or flight.task.done():", "if True:"),
    "the first caller's cancellation is everybody's": (
        "await asyncio.shield(flight.task)",
        "await flight.task",
    ),
    "the computation goes on for nobody": (
        "flight.task.cancel()  # changes nothing once it is done",
        "pass",
    ),
    "one caller's cancellation cancels the computation": ("if not flight.callers:", "if True:"),
    "a failed computation stays": (
        "flight is None or flight.task.done():",
        "flight is None:",
    ),
    "a cancelled computation stays": (
        "                if self._flights.get(key) is flight:\n"
        "                    del self._flights[key]",
        "                pass",
    ),
    "one flight for all keys": (
        "flight = self._flights[key] = _Flight(",
        'key = ""\n            flight = self._flights[key] = _Flight(',
    ),
    "use makes an answer live longer": (
        "        self._answers.move_to_end(key)\n",
        "        self._answers[key] = answer, self._clock() + self._ttl\n"
        "        self._answers.move_to_end(key)\n",
    ),
    "answers live for ever": ("if self._clock() >= ends:", "if False:"),
    "answers live one instant longer": ("self._clock() >= ends", "self._clock() > ends"),
    "an ended answer keeps its bytes": (
        "            self._drop(key)\n            return None\n",
        "            return None\n",
    ),
    "first in, first out": ("        self._answers.move_to_end(key)\n", ""),
    "the most recently used leaves": ("next(iter(self._answers))", "next(reversed(self._answers))"),
    "the keys' bytes do not count": (
        "return len(key.encode()) + len(answer)",
        "return len(answer)",
    ),
    "characters of the key, not bytes": ("len(key.encode())", "len(key)"),
    "a replaced answer's bytes stay counted": (
        "        if key in self._answers:\n            self._drop(key)\n        size",
        "        self._answers.pop(key, None)\n        size",
    ),
    "replacing keeps the old place": (
        "            self._drop(key)\n        size = _size(key, answer)\n",
        "            self._bytes -= _size(key, self._answers[key][0])\n"
        "        size = _size(key, answer)\n",
    ),
    "an answer too large empties the cache": (
        "        if size > self._max_bytes:\n            return\n",
        "        if size > self._max_bytes:\n            self._answers.clear()\n"
        "            self._bytes = 0\n            return\n",
    ),
    "room for one byte more": ("if size > self._max_bytes:", "if size >= self._max_bytes:"),
    "one leaves, however large the new one": (
        "while self._bytes + size > self._max_bytes:",
        "if self._bytes + size > self._max_bytes:",
    ),
    "an empty answer is none": (
        "        self._answers.move_to_end(key)\n        return answer\n",
        "        self._answers.move_to_end(key)\n        return answer or None\n",
    ),
    "computed answers are not kept": ("            self.put(key, computed)\n", ""),
    "a new answer is said to be kept": (
        "self._flights.run(key, fill), False",
        "self._flights.run(key, fill), True",
    ),
    "a ttl of zero": ("if not value > 0:", "if value < 0:"),
}
