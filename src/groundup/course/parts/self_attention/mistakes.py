"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SPLIT = "self.qkv(x).reshape(B, T, 3, self.heads, D).transpose(2, 0, 3, 1, 4)"

MISTAKES: dict[str, tuple[str, str]] = {
    "the scores are not scaled": (" * (1 / math.sqrt(D))", ""),
    "scaled by the features of all heads": ("(1 / math.sqrt(D))", "(1 / math.sqrt(C))"),
    "scaled by the dimension": ("(1 / math.sqrt(D))", "(1 / D)"),
    "heads and the three are exchanged": (
        SPLIT,
        "self.qkv(x).reshape(B, T, self.heads, 3, D).transpose(3, 0, 2, 1, 4)",
    ),
    "heads are interleaved": (
        SPLIT,
        "self.qkv(x).reshape(B, T, 3, D, self.heads).transpose(2, 0, 4, 1, 3)",
    ),
    "positions and heads are not exchanged": (
        "(softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(B, T, C)",
        "(softmax(scores) @ v).reshape(B, T, C)",
    ),
    "queries and keys exchanged": ("q, k, v = split[0], split[1], split[2]",
                                   "k, q, v = split[0], split[1], split[2]"),
    "keys for values": ("q, k, v = split[0], split[1], split[2]",
                        "q, k, v = split[0], split[1], split[1]"),
    "no softmax": ("(softmax(scores) @ v)", "(scores @ v)"),
    "softmax over the queries": (
        "(softmax(scores) @ v)",
        "(softmax(scores.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2) @ v)",
    ),
    "the own position is hidden": ("k=1)", "k=0)"),
    "the next position is seen": ("k=1)", "k=2)"),
    "the past is hidden": ("np.triu(np.full((T, T), -np.inf, x.dtype), k=1)",
                           "np.tril(np.full((T, T), -np.inf, x.dtype), k=-1)"),
    "always causal": ("if self.causal:", "if True:"),
    "never causal": ("if self.causal:", "if False:"),
    "the mask is float64": ("np.full((T, T), -np.inf, x.dtype)", "np.full((T, T), -np.inf)"),
    "nothing is projected back": ("return self.out(mixed)", "return mixed"),
    "heads are not checked": ("if heads < 1 or features % heads:", "if heads < 1:"),
}  # fmt: skip
