"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "every row is a text from the start": (
        "    sums[0] = 0.0  # the other rows are not texts yet\n",
        "    sums[:] = 0.0\n",
    ),
    "only as many candidates as beams": (".topk(2 * beams)", ".topk(beams)"),
    "sums are forgotten": (
        "(sums[:, None] + log_probs)",
        "(log_probs + 0 * sums[:, None].clamp(min=-9))",
    ),
    "the parent is always the same row": (
        "parents = torch.tensor([parent for _, parent, _ in padded])",
        "parents = torch.arange(beams)",
    ),
    "the text of the row instead of the parent's": (
        "texts = [(*texts[parent], token) for _, parent, token in padded]",
        "texts = [(*texts[row], token) for row, (_, _, token) in enumerate(padded)]",
    ),
    "the end token goes on": (
        "if token != eos_id and length < max_tokens:",
        "if length < max_tokens:",
    ),
    "no finished text at the limit": (
        "if token != eos_id and length < max_tokens:",
        "if token != eos_id:",
    ),
    "finished texts far down are kept": ("elif rank < beams:", "else:"),
    "no length penalty": (
        "score = total / length**length_penalty",
        "score = total",
    ),
    "the end token is not counted": (
        "score = total / length**length_penalty",
        "score = total / max(1, length - 1) ** length_penalty",
    ),
    "it stops with the first finished text": (
        "if len(finished) == beams and best",
        "if finished and best",
    ),
    "it stops when enough texts are finished": (
        "if len(finished) == beams and best <= finished[-1].score:",
        "if len(finished) == beams:",
    ),
    "it stops only when the best is beaten": (
        "best <= finished[-1].score",
        "best <= finished[0].score - 1e9",
    ),
    "unfinished sums compared with finished scores": (
        "best = going_on[0][0] / length**length_penalty",
        "best = going_on[0][0]",
    ),
    "impossible texts are kept": ("if total == -torch.inf:", "if False:"),
    "the end token is left out": ("(*texts[parent], token)))", "(*texts[parent], token)[:-1]))"),
    "no check of beams": ("if beams <= 0 or max_tokens <= 0:", "if max_tokens <= 0:"),
}
