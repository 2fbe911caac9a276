"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the old order": ("    return found.astype(np.int64)", "    return positions.copy()"),
    "turned round by the seed": (
        "    return found.astype(np.int64)",
        "    return (positions + seed) % size",
    ),
    "an affine map": (
        "    return found.astype(np.int64)",
        "    return ((positions.astype(object) * 2654435761 + seed) % size).astype(np.int64)",
    ),
    "drawn with replacement": (
        "    return found.astype(np.int64)",
        "    return np.array([hash((int(p), seed)) % size for p in positions.flat], np.int64)"
        ".reshape(positions.shape)",
    ),
    "what falls outside wraps round": (
        "    while (outside := found >= size).any():\n"
        "        found[outside] = _feistel(found[outside], keys, half)",
        "    found %= np.uint64(size)",
    ),
    "what falls outside stays outside": (
        "while (outside := found >= size).any():",
        "while (outside := found >= size).any() and False:",
    ),
    "all walk on while one is outside": (
        "found[outside] = _feistel(found[outside], keys, half)",
        "found = _feistel(found, keys, half)",
    ),
    "no rounds": ("ROUNDS = 6", "ROUNDS = 0"),
    "one round": ("ROUNDS = 6", "ROUNDS = 1"),
    "two rounds": ("ROUNDS = 6", "ROUNDS = 2"),
    "the halves are not exchanged": (
        "left, right = right, left ^ (_mix(right + key) & mask)",
        "left = left ^ (_mix(right + key) & mask)",
    ),
    "a half is a function of both": ("_mix(right + key)", "_mix(right + left + key)"),
    "the round is a sum without a mix": ("_mix(right + key)", "(right + key)"),
    "the seed is not used": ("SeedSequence(seed % 2**128)", "SeedSequence(0)"),
    "seeds are cut to 32 bits": ("seed % 2**128", "seed % 2**32"),
    "negative seeds are their absolute": ("seed % 2**128", "abs(seed)"),
    "numbers from the process": (
        "np.random.SeedSequence(seed % 2**128).generate_state(ROUNDS, np.uint64)",
        "np.random.randint(0, 2**62, ROUNDS)",
    ),
    "the whole order is stored": (
        "    half = max(",
        "    if size > 2**20:\n        numbers = np.random.default_rng(seed)\n"
        "        return numbers.permutation(size)[positions]\n"
        "    half = max(",
    ),
    "the domain is a power of two": (
        "if positions.size and not 0 <= positions.min() <= positions.max() < size:",
        "if positions.size and not 0 <= positions.min() <= positions.max() < 1 << 62:",
    ),
    "negative positions are taken": (
        "not 0 <= positions.min() <= positions.max() < size",
        "not positions.max() < size",
    ),
    "no positions are an error": ("if positions.size and not", "if not"),
    "sizes are not looked at": ("if not 1 <= size <= 2**62:", "if size > 2**62:"),
    "a size without a bound": ("if not 1 <= size <= 2**62:", "if not 1 <= size:"),
}  # fmt: skip
