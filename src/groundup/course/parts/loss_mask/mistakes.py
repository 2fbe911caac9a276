"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "everything counts": (
        "[False] * (len(prompt) - len(counts))",
        "[True] * (len(prompt) - len(counts))",
    ),
    "nothing counts": ("+ [True] * len(answer)", "+ [False] * len(answer)"),
    "the user's turns count": (
        'if message["role"] != "assistant":',
        'if message["role"] != "user":',
    ),
    "the last answer alone counts": ("counts = sequences.pop().counts", "sequences.pop()"),
    "a sequence for each answer": (
        "counts = sequences.pop().counts",
        "counts = sequences[-1].counts",
    ),
    "the end of a turn does not count": (
        "answer[: ends[-1]] if ends",
        "answer[: ends[-1] - 1] if ends",
    ),
    "the line end behind the turn counts": ("answer[: ends[-1]] if ends else answer", "answer"),
    "only up to the first end": ("answer[: ends[-1]] if ends", "answer[: ends[0]] if ends"),
    "no answer without an end": ("if ends else answer", "if ends else []"),
    "one sequence, even if earlier turns changed": (
        "if sequences and prompt[: len(sequences[-1].ids)] == sequences[-1].ids:",
        "if sequences:",
    ),
    "sequences are never joined": (
        "if sequences and prompt[: len(sequences[-1].ids)] == sequences[-1].ids:",
        "if False:",
    ),
    "the assistant's opening counts": (
        "counts + [False] * (len(prompt) - len(counts)) + [True]",
        "counts + [False] * (len(prompt) - 2 - len(counts)) + [True] * 2 + [True]",
    ),
    "the turns before are not given": (
        "messages[: number + 1])",
        "messages[number - 1 : number + 1])",
    ),
    "the question that follows counts": ("messages[: number + 1])", "messages)"),
    "a text begins with its token": ("encode(text, special=False)", "encode(text)"),
    "a text has no end": ("ids += ends[:1]", "pass"),
    "a turn's end ends a text": ("if tokenizer.token_of(i) in END_OF_TEXT]", "if i]"),
    "every end ends a text": ("ids += ends[:1]", "ids += sorted(tokenizer.eos_ids)"),
    "no answer is no error": ("if not sequences:", "if False:"),
}
