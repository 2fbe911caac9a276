"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the dot product, not the cosine": (
        "return (vector / length).astype(np.float32)",
        "return vector.astype(np.float32)",
    ),
    "lengths in float32": (
        "np.asarray(embedding, np.float64)",
        "np.asarray(embedding, np.float32)",
    ),
    "the array is kept and normalised in place": (
        "        vector = np.asarray(embedding, np.float64)\n",
        "        vector = np.asarray(embedding, np.float64)\n"
        "        if isinstance(embedding, np.ndarray) and vector.any():\n"
        "            vector /= np.linalg.norm(vector)\n",
    ),
    "the threshold is not asked": ("similarity < self._threshold - ROUNDING", "similarity < 0"),
    "float32's rounding is not foreseen": (
        "similarity < self._threshold - ROUNDING",
        "similarity <= self._threshold + 1e-9",
    ),
    "a loose threshold": ("self._threshold - ROUNDING", "self._threshold - 1e-3"),
    "the similarity exceeds 1": ("min(1.0, similarity)", "similarity + 2e-6"),
    "the similarity is always 1": ("min(1.0, similarity)", "1.0"),
    "the farthest": ("cosines.argmax()", "cosines.argmin()"),
    "the first above the threshold": (
        "int(cosines.argmax())",
        "int((cosines >= self._threshold).argmax())",
    ),
    "the largest magnitude": ("cosines.argmax()", "abs(cosines).argmax()"),
    "the place in the partition is taken for the row": (
        "return rows[best], float",
        "return best if best in self._entries else rows[best], float",
    ),
    "all partitions are searched": (
        "rows = list(self._partitions.get(partition, ()))",
        "rows = list(self._entries)",
    ),
    "the partition does not forget": ("        self._partitions[partition].remove(row)\n", ""),
    "answers live for ever": ("if self._entries[r].ends <= now]", "if False]"),
    "answers live one instant longer": (
        "self._entries[r].ends <= now",
        "self._entries[r].ends < now",
    ),
    "a use makes an answer live longer": (
        "        self._entries.move_to_end(row)\n        return",
        "        self._entries[row] = self._entries[row]._replace(ends=self._clock() + self._ttl)\n"
        "        self._entries.move_to_end(row)\n        return",
    ),
    "first in, first out": ("        self._entries.move_to_end(row)\n", ""),
    "the most recently used leaves": ("next(iter(self._entries))", "next(reversed(self._entries))"),
    "the same question takes a second place": (
        "if row is not None and similarity >= 1 - ROUNDING:",
        "if False:",
    ),
    "a similar question is replaced": (
        "similarity >= 1 - ROUNDING",
        "similarity >= self._threshold",
    ),
    "a full cache takes nothing": (
        "            self._drop(next(iter(self._entries)))\n",
        "            return\n",
    ),
    "the rows dropped are not free": (
        "        self._free.append(row)\n",
        "        self._free.append(row) if len(self._entries) > 1 else None\n",
    ),
    "the question counts in the partition": (
        '{**messages[-1], "content": ""}',
        "messages[-1]",
    ),
    "only the model counts": (
        'request_key({**request, "messages": rest})',
        'request_key({"model": request.get("model"), "temperature": request.get("temperature")})',
    ),
    "earlier turns do not count": ("rest = [*messages[:-1], {", "rest = [{"),
    "the last message's other fields do not count": ('{**messages[-1], "content": ""}', "{}"),
    "the request is changed": (
        '    rest = [*messages[:-1], {**messages[-1], "content": ""}]\n',
        '    rest = messages\n    rest[-1] = {**messages[-1], "content": ""}\n',
    ),
    "anybody's last message": (' or messages[-1].get("role") != "user":', ":"),
    "images are taken": ("if not isinstance(question, str):", "if question is None:"),
    "draws are kept": (
        "return None if partition is None else (partition, question)",
        'return partition or "", question',
    ),
    "any shape": (
        "if vector.shape != self._embeddings.shape[1:]:",
        "if vector.shape[-1:] != self._embeddings.shape[1:]:",
    ),
    "zero is taken": ("if not 0 < length < np.inf:", "if not 0 <= length < np.inf:"),
    "any threshold": ("if not 0 < threshold <= 1:", "if threshold > 1:"),
    "sizes are not looked at": ("if not value > 0:", "if value == 0.5:"),
}
