"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "write moves the length on": (
        "        return keys, values\n",
        "        self._length = stop\n        return keys, values\n",
    ),
    "every layer writes to the first": ("self._store[layer, :", "self._store[0, :"),
    "keys and values swapped": ("return keys, values", "return values, keys"),
    "only the new positions are returned": (
        "return keys, values",
        "return keys[:, :, self._length :], values[:, :, self._length :]",
    ),
    "the new position is missing": (
        "return keys, values",
        "return keys[:, :, : self._length], values[:, :, : self._length]",
    ),
    "the whole memory is returned": (
        "return keys, values",
        "return self._store[layer].unbind(0)",
    ),
    "zeros": ("return keys, values", "return 0 * keys, 0 * values"),
    "the values are not written": ("values[:, :, self._length :] = v", "pass"),
    "the new positions come first": (
        "keys[:, :, self._length :] = k",
        "keys[:] = torch.cat((k, keys[:, :, : self._length].clone()), 2)",
    ),
    "a write goes behind an interrupted one": (
        "stop = self._length + T",
        "self._length = self._written\n        stop = self._length + T",
    ),
    "growing forgets what was held": ("store[..., :capacity, :] = self._store", "pass"),
    "growing keeps only the layer written": (
        "store[..., :capacity, :] = self._store",
        "store[layer, ..., :capacity, :] = self._store[layer]",
    ),
    "the memory is doubled, also when that is too little": (
        "max(stop, 2 * capacity)",
        "2 * capacity",
    ),
    "the memory grows by one token at a time": ("max(stop, 2 * capacity)", "stop"),
    "the memory for the limit is taken at once": ("min(limit, 256)", "limit"),
    "k and v are kept, not copied": (
        "        keys[:, :, self._length :] = k\n",
        "        if T == stop:\n            return k, v\n        keys[:, :, self._length :] = k\n",
    ),
    "the dtype is not passed on": ("dtype=dtype, device=device", "device=device"),
    "the batch is always one": ("(layers, 2, batch,", "(layers, 2, 1,"),
    "the limit is exceeded by one": ("if stop > self._limit:", "if stop > self._limit + 1:"),
    "the limit cannot be reached": ("if stop > self._limit:", "if stop >= self._limit:"),
    "a negative layer counts from the end": ("if not 0 <= layer < layers:", "if layer >= layers:"),
    "one layer too many": ("if not 0 <= layer < layers:", "if not 0 <= layer <= layers:"),
    "the shapes are not compared": (
        "if k.shape != (B, H, T, D) or v.shape != k.shape:",
        "if False:",
    ),
    "only the shape of k is compared": (" or v.shape != k.shape:", ":"),
    "advance takes any number": (
        "if not 0 <= tokens <= self._written - self._length:",
        "if False:",
    ),
    "advance counts all that was written": (
        "self._length += tokens",
        "self._length = self._written",
    ),
    "advance sets the length": ("self._length += tokens", "self._length = tokens"),
    "truncate does nothing": ("self._length = self._written = length", "pass"),
    "truncate keeps one more": (
        "self._length = self._written = length",
        "self._length = self._written = length + 1",
    ),
    "truncate leaves what was written": (
        "self._length = self._written = length",
        "self._length = length",
    ),
    "truncate lengthens": ("if not 0 <= length <= self._length:", "if length < 0:"),
    "length counts what is only written": ("return self._length\n", "return self._written\n"),
    "a size of zero is taken": ("if size <= 0:", "if size < 0:"),
    "select takes the rows' inverse": (
        "held.index_select(2, rows)",
        "held.index_select(2, rows.argsort())",
    ),
    "select moves the keys alone": (
        "held = self._store[..., : self._length, :]",
        "held = self._store[:, :1, ..., : self._length, :]",
    ),
    "select copies row by row over what it still needs": (
        "held.copy_(held.index_select(2, rows))",
        "[held[:, :, b].copy_(held[:, :, r]) for b, r in enumerate(rows.tolist())]",
    ),
    "select keeps what was written": ("        self._written = self._length\n", ""),
    "select does not look at the rows": ("if rows.shape != (batch,) or not", "if False and not"),
}
