"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the same sample is drawn more than once": ("(wrong - i) / (samples - i)", "wrong / samples"),
    "one choice fewer": ("range(k)", "range(k - 1)"),
    "one choice more": ("range(k)", "range(min(k + 1, samples))"),
    "begins with the second choice": ("for i in range(k)", "for i in range(1, k + 1)"),
    "only the right ones become fewer": ("/ (samples - i)", "/ samples"),
    "the chance that none is right": ("return 1.0 - none_right", "return none_right"),
    "right and wrong exchanged": ("wrong = samples - correct", "wrong = correct"),
    "k may be 0": ("if not 1 <= k <= samples", "if not 0 <= k <= samples"),
    "k may be more than n": ("if not 1 <= k <= samples", "if not 1 <= k"),
    "more right ones than samples": ("if not 0 <= correct <= samples", "if not 0 <= correct"),
    "fewer right ones than none": ("if not 0 <= correct <= samples", "if correct > samples"),
}
